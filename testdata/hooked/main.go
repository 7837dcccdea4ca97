// Command hooked is programs whose workers leave them at a Hook: "hooked NAME" runs one of them. It imports a library that has a Main of its own.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/testdata/hooked/standin"
	"github.com/multiprolab/multiprolab/testdata/hooked/thumbs"
)

var programs = map[string]func(){
	"port":                     func() { port(true) },
	"port without a hook":      func() { port(false) },
	"library":                  func() { makeThumb("main") },
	"library in a worker":      inWorker,
	"library whose makers die": makersDie,
	"for ever":                 forEver,
	"stand-in":                 standIn,
	"library before Run":       beforeRun,
	"two":                      two,
	"one name":                 oneName,
	"missing":                  missing,
	"registered late":          registeredLate,
	"twice":                    twice,
	"in a setup function":      inSetup,
	"main hooked, not inner":   innerOnly,
	"registered after":         registeredAfter,
	"workers come past it":     past,
	"in process":               inProcess,
	"hooked for workers only":  workersOnly,
	"default log":              defaultLog,
	"nested too deep":          tooDeep,
}

var ctx = context.Background()

func main() {
	if os.Getenv(worker) != "" && os.Args[1] == "library" {
		fmt.Println("a worker has come to main")
	}
	_ = os.Setenv(worker, "1")
	programs[os.Args[1]]()
}

// worker is the environment variable that processes have which are started by this one.
const worker = "TEST_HOOKED"

func check(err error) {
	if err != nil {
		fmt.Println("FAIL:", err)
		os.Exit(1)
	}
}

// register registers a worker that says its tag.
func register(app *multiprolab.Main, name, tag string, count int) {
	app.RegisterWorker(name, func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "who", func(context.Context, int) (string, error) { return tag, nil })
		return nil
	}, &multiprolab.WorkerConfig{Count: count})
}

func newMain(name string) *multiprolab.Main {
	app := multiprolab.New(&multiprolab.Config{Name: name})
	register(app, "w", name, 1)
	return app
}

func who(app *multiprolab.Main) string {
	tag, err := multiprolab.Do[string](ctx, app, "who", 0)
	check(err)
	return tag
}

// run starts an app, asks it, and ends it.
func run(app *multiprolab.Main) {
	check(app.Start(ctx))
	fmt.Println(who(app))
	check(app.Close())
}

// port takes a port, which no second process can have.
func port(hook bool) {
	app := multiprolab.New(nil)
	register(app, "w", "port", 2)
	if hook {
		app.Hook()
	}
	const variable = "TEST_HOOKED_ADDRESS"
	l, err := net.Listen("tcp", cmp.Or(os.Getenv(variable), "127.0.0.1:0"))
	check(err)
	defer l.Close()
	_ = os.Setenv(variable, l.Addr().String())
	run(app)
}

func makeThumb(where string) {
	thumb, err := thumbs.Make(ctx, 21)
	check(err)
	fmt.Println(where, thumb.Twice, thumb.Parent == os.Getpid())
	looping, err := thumbs.Looping(ctx)
	check(err)
	nested, err := thumbs.Nested(ctx)
	check(err)
	fmt.Println("looping", looping, nested)
	check(thumbs.Close())
}

// forEver prints the pids of the library's makers of main and of a worker, and waits to be killed.
func forEver() {
	app := multiprolab.New(nil)
	app.RegisterWorker("w", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "maker", func(ctx context.Context, n int) (int, error) {
			thumb, err := thumbs.Make(ctx, 1)
			return thumb.PID, err
		})
		return nil
	}, nil)
	app.Hook()
	check(app.Start(ctx))
	thumb, err := thumbs.Make(ctx, 1)
	check(err)
	inner, err := multiprolab.Do[int](ctx, app, "maker", 1)
	check(err)
	fmt.Println(thumb.PID, inner)
	select {}
}

// makersDie has makers of the library replaced, however they die, and ended in good order.
func makersDie() {
	seen := map[int]bool{}
	for _, how := range []string{"kill", "goexit", "panic"} {
		thumb, err := thumbs.Make(ctx, 1)
		check(err)
		if seen[thumb.PID] {
			fmt.Println("not replaced after", how)
		}
		seen[thumb.PID] = true
		var died *multiprolab.WorkerDiedError
		err = thumbs.Die(ctx, how)
		fmt.Println(how, errors.As(err, &died) && died.PID == thumb.PID)
	}
	_, err := thumbs.Make(ctx, 1)
	check(err)
	check(thumbs.Close())
	fmt.Println("left", thumbs.Left())
}

// standIn has a library that is hooked by the test kit, beside a Main with a hook and one without.
func standIn() {
	a := newMain("a")
	a.Hook()
	run(newMain("b"))
	run(a)
	fmt.Println(standin.Negate(ctx, 5))
}

// inWorker uses the library in a handler of a worker, on a goroutine that has nothing of it.
func inWorker() {
	app := multiprolab.New(nil)
	app.RegisterWorker("w", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "who", func(context.Context, int) (tag string, err error) {
			var done sync.WaitGroup
			done.Go(func() {
				var thumb thumbs.Thumb
				thumb, err = thumbs.Make(ctx, 4)
				tag = fmt.Sprint("worker ", thumb.Twice, " ", thumb.Parent == os.Getpid())
			})
			done.Wait()
			return tag, err
		})
		return nil
	}, nil)
	run(app)
	makeThumb("main")
}

// beforeRun uses the library before Run, where workers come by.
func beforeRun() {
	thumb, err := thumbs.Make(ctx, 1)
	check(err)
	app := multiprolab.New(nil)
	register(app, "w", fmt.Sprint("made ", thumb.Twice, " ", thumb.Parent == os.Getpid()), 1)
	run(app)
	check(thumbs.Close())
}

func two() {
	a, b := newMain("a"), newMain("b")
	a.Hook()
	b.Hook()
	check(a.Start(ctx))
	check(b.Start(ctx))
	fmt.Println(who(a), who(b))
	check(a.Close())
	check(b.Close())
}

func oneName() {
	a, b := newMain("same"), newMain("same")
	a.Hook()
	b.Hook()
	fmt.Println("b:", b.Start(ctx))
	run(a)
	fmt.Println("unhooked:", newMain("same").Start(ctx))
}

// missing has workers that do not register what main does.
func missing() {
	app := newMain("missing")
	const variable = "TEST_HOOKED_MISSING"
	if os.Getenv(variable) == "" {
		register(app, "extra", "extra", 1)
	}
	app.Hook()
	_ = os.Setenv(variable, "1")
	fmt.Println("Start:", app.Start(ctx))
}

func registeredLate() {
	app := newMain("late")
	app.Hook()
	defer func() { fmt.Println("panic:", recover()) }()
	register(app, "extra", "extra", 1)
}

// twice calls Hook again: in main, in the setup function and in a handler.
func twice() {
	app := multiprolab.New(nil)
	app.RegisterWorker("w", func(_ context.Context, w *multiprolab.Worker) error {
		app.Hook()
		multiprolab.HandleTask(w, "who", func(context.Context, int) (string, error) { app.Hook(); return "hooked", nil })
		return nil
	}, nil)
	app.Hook()
	app.Hook()
	check(app.Start(ctx))
	app.Hook()
	fmt.Println(who(app))
	check(app.Close())
}

// nest registers a worker that runs a Main of its own.
func nest(app *multiprolab.Main, inner func() *multiprolab.Main) {
	app.RegisterWorker("outer", func(ctx context.Context, w *multiprolab.Worker) error {
		in := inner()
		if err := in.Start(ctx); err != nil {
			return err
		}
		w.OnExit(func(context.Context) error { return in.Close() })
		multiprolab.HandleTask(w, "who", func(context.Context, int) (string, error) { return who(in), nil })
		return nil
	}, nil)
}

// inSetup hooks a Main inside the setup function of another one's worker, and uses the library there, too. All have one name but the library.
func inSetup() {
	app := multiprolab.New(nil)
	nest(app, func() *multiprolab.Main {
		thumb, err := thumbs.Make(ctx, 2)
		check(err)
		in := multiprolab.New(nil)
		register(in, "w", fmt.Sprint("inner ", thumb.Twice), 1)
		in.Hook()
		return in
	})
	app.Hook()
	run(app)
}

// innerOnly hooks the outer Main, and not the one in its worker, which has the name of the library: names within a worker are its own.
func innerOnly() {
	app := multiprolab.New(nil)
	nest(app, func() *multiprolab.Main {
		in := multiprolab.New(&multiprolab.Config{Name: "thumbs"})
		register(in, "w", "inner", 1)
		return in
	})
	app.Hook()
	run(app)
}

var errKnown, errLate = errors.New("known"), errors.New("late")

func registeredAfter() {
	app := newMain("after")
	app.RegisterWorker("fails", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "fail", func(_ context.Context, late bool) (int, error) {
			if late {
				return 0, errLate
			}
			return 0, errKnown
		})
		multiprolab.HandleTask(w, "ask", func(ctx context.Context, n int) (int, error) {
			return multiprolab.Call[int](ctx, w, "main", "double", n)
		})
		return nil
	}, nil)
	app.RegisterError(errKnown)
	app.Hook()
	app.RegisterError(errLate)
	app.RegisterGroup(multiprolab.AllForOne, "w", "fails")
	multiprolab.HandleCall(app, "double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	check(app.Start(ctx))
	_, known := multiprolab.Do[int](ctx, app, "fail", false)
	_, late := multiprolab.Do[int](ctx, app, "fail", true)
	fmt.Println(errors.Is(known, errKnown), errors.Is(late, errLate))
	fmt.Println(multiprolab.Do[int](ctx, app, "ask", 4))
	check(app.Close())
}

// past hooks in main alone: workers come to Run.
func past() {
	app := newMain("past")
	const variable = "TEST_HOOKED_PAST"
	if os.Getenv(variable) == "" {
		app.Hook()
	}
	_ = os.Setenv(variable, "1")
	run(app)
}

// workersOnly hooks in workers alone.
func workersOnly() {
	app := newMain("workers")
	const variable = "TEST_HOOKED_WORKERS"
	if os.Getenv(variable) != "" {
		app.Hook()
		fmt.Println("a worker has come past Hook")
	}
	_ = os.Setenv(variable, "1")
	run(app)
}

func inProcess() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true})
	app.Hook()
	register(app, "w", "in process", 1)
	app.Hook()
	run(app)
}

// logged is a Main that is made before main sets its logger.
var logged = multiprolab.New(nil)

func defaultLog() {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stdout, nil)).With("from", "mine"))
	logged.RegisterWorker("w", func(context.Context, *multiprolab.Worker) error { return errors.New("no start") }, nil)
	_ = logged.Start(ctx)
}

// tooDeep starts a Main in a worker of another, though it may not be nested.
func tooDeep() {
	flat := multiprolab.New(&multiprolab.Config{Name: "flat", MaxDepth: 1})
	register(flat, "w", "flat", 1)
	flat.Hook()
	app := multiprolab.New(nil)
	app.RegisterWorker("w", func(context.Context, *multiprolab.Worker) error { return flat.Start(context.Background()) }, nil)
	app.Hook()
	fmt.Println("Start:", app.Start(ctx))
}
