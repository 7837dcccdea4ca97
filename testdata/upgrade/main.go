//go:build unix

// Command upgrade is what the tests of upgrades run: an HTTP server of two workers, and a worker of
// tasks. Its first argument is the path of a socket; what it does wrong stands in a file beside it.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/prefork"
	"github.com/multiprolab/multiprolab/sockets"
)

// linked is set by the linker. The test makes other versions of the program by another number in it.
var linked string

// version is the number of this version.
var version = strings.TrimPrefix(linked, "upgrade program, version ")

// fault is what this process does wrong.
var fault string

func main() {
	if dir := os.Getenv("UPGRADE_DIR"); dir != "" {
		must(os.Chdir(dir))
	}
	if b, err := os.ReadFile(os.Args[1] + ".fault"); err == nil {
		fault = string(b)
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
	cfg := &multiprolab.Config{UpgradeSignal: syscall.SIGUSR2, UpgradeTimeout: timeout("UPGRADE_TIMEOUT"),
		KillTimeout: timeout("UPGRADE_KILL")}
	if dir := os.Getenv("UPGRADE_BACKEND"); dir != "" {
		cfg.Backend = disk(dir)
	}
	switch fault {
	case "other name":
		cfg.Name = "other"
	case "one more before": // whose end comes before the other Main begins
		before := multiprolab.New(&multiprolab.Config{Name: "before"})
		before.After(0, func(context.Context) error {
			before.Exit()
			return nil
		})
		must(before.Run(context.Background()))
	}
	app := multiprolab.New(cfg)
	app.RegisterWorker("web", web, &multiprolab.WorkerConfig{Count: 2, Listeners: []string{"web"}})
	app.RegisterWorker("tasks", tasks, &multiprolab.WorkerConfig{Queues: []string{"tasks", "late", "held"}})
	app.Hook()
	if multiprolab.UpgradeTrial() {
		must(os.Setenv("UPGRADE_IN_TRIAL", "1")) // for its workers
	}
	switch fault {
	case "panic":
		panic("the new version panics in main")
	case "exit":
		os.Exit(7)
	case "stuck":
		fmt.Println("the new version is stuck")
		select {}
	case "redirect": // as a service does that writes to a log of its own
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		must(err)
		must(syscall.Dup3(int(null.Fd()), 2, 0))
	case "chatty": // until it is told to end
		if multiprolab.UpgradeTrial() {
			go func() {
				for i := 0; ; i++ {
					fmt.Fprintf(os.Stderr, "line %d of the trial\n", i)
				}
			}()
		}
	case "vanish":
		if multiprolab.UpgradeTrial() {
			must(os.Remove(os.Args[1] + ".program"))
		}
	case "switch":
		if multiprolab.UpgradeTrial() {
			must(os.Rename(os.Args[1]+".other", os.Args[1]+".program"))
		}
	}
	if fault == "taken" {
		must(sockets.Listen(app, "taken", "unix", os.Args[1]))
	}
	must(sockets.Listen(app, "web", "tcp", "127.0.0.1:0"))
	must(sockets.Listen(app, "packets", "udp", "127.0.0.1:0"))
	switch fault {
	case "no socket":
	case "slow trial alone": // because it opens a socket that the old version does not have
		must(sockets.Listen(app, "fresh", "unix", os.Args[1]+".fresh"))
	case "own": // a file of the same name is the new version's own
		if !multiprolab.UpgradeTrial() {
			must(os.Remove(os.Args[1]))
			own, err := net.Listen("unix", os.Args[1])
			must(err)
			defer own.Close()
		}
	case "renamed":
		must(sockets.Listen(app, "the same under another name", "unix", os.Args[1]))
	default:
		must(sockets.Listen(app, "unix", "unix", os.Args[1]))
	}
	app.After(0, func(context.Context) error {
		if fault == "other name" { // it is not what is tried
			return nil
		}
		if multiprolab.UpgradeTrial() {
			return errors.New("an action runs in a trial")
		}
		var left []string
		for _, v := range os.Environ() {
			if strings.HasPrefix(v, "MULTIPROLAB_") {
				left = append(left, v)
			}
		}
		fmt.Println("packets at", sockets.Addr(app, "packets"), "passed", sockets.Activated())
		fmt.Println("version", version, "pid", os.Getpid(), "at", sockets.Addr(app, "web"), "environment", left)
		return nil
	})
	multiprolab.HandleCall(app, "pause", func(_ context.Context, queue string) (bool, error) {
		app.Tasks().Pause(queue)
		return true, nil
	})
	multiprolab.HandleCall(app, "upgrade", func(ctx context.Context, _ string) (bool, error) {
		fmt.Println("upgrade:", app.Upgrade(ctx))
		return true, nil
	})
	command(app)
	err := app.Run(context.Background())
	fmt.Println("end", err, app.Cause(), "of", os.Getpid())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// command lets SIGUSR1 do what a file says, and tell when that is done.
func command(app *multiprolab.Main) {
	if multiprolab.UpgradeTrial() {
		return
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	go func() {
		for range c {
			b, err := os.ReadFile(os.Args[1] + ".command")
			must(err)
			what := string(b)
			do(app, what)
			fmt.Println("commanded", what)
		}
	}()
}

// do does one thing with tasks.
func do(app *multiprolab.Main, what string) {
	again := multiprolab.RetryPolicy{First: time.Millisecond}
	submit := func(typ, body string, o *multiprolab.TaskOptions) *multiprolab.Future[any] {
		f, err := app.Tasks().Submit(context.Background(), typ, body, o)
		must(err)
		return f
	}
	switch what {
	case "submit": // one whose first attempt fails behind a checkpoint, one that runs for a while, and some behind that
		submit("twice", "", &multiprolab.TaskOptions{Queue: "late", Attempts: 2, Retry: again})
		for i := range 5 {
			options := &multiprolab.TaskOptions{Queue: "tasks", Attempts: 3, Key: "one"}
			if i == 4 {
				options.Delay = 2 * time.Second
			}
			submit("work", fmt.Sprint("task ", i, " of ", version), options)
		}
	case "bury": // one that is dead, and one in a queue that is paused
		f := submit("old", "what was sent", &multiprolab.TaskOptions{Queue: "late", Attempts: 2, Retry: again})
		_, err := f.Wait(context.Background())
		fmt.Println("old", err != nil)
		app.Tasks().Pause("held")
		app.Tasks().PauseUntil("late", time.Now().Add(time.Hour))
		submit("work", "task held of "+version, &multiprolab.TaskOptions{Queue: "held"})
		submit("work", "task late of "+version, &multiprolab.TaskOptions{Queue: "late"})
	case "work":
		f := submit("work", "task now of "+version, &multiprolab.TaskOptions{Queue: "tasks"})
		_, err := f.Wait(context.Background())
		must(err)
	case "look":
		for _, d := range app.Tasks().Dead() {
			var body, last string
			must(d.Decode(&body))
			ok, err := d.Checkpoint(&last)
			must(err)
			fmt.Printf("dead in %s: %d %s %s %q %q %v %d %q\n", version, d.ID, d.Queue, d.Type, body, last, ok,
				d.At.UnixNano(), d.Err)
		}
	case "retry":
		fmt.Println(app.Tasks().RetryDead())
	case "many":
		for i := range 60 {
			o := &multiprolab.TaskOptions{Queue: "tasks", Attempts: 3}
			if i%20 == 0 {
				o.Timeout = time.Minute
			}
			submit("quick", fmt.Sprint("quick ", i, " of ", version), o)
		}
	case "much":
		app.Tasks().Pause("held")
		for i := range 100 {
			submit("quick", fmt.Sprintf("%d of much %01000d", i, 0), &multiprolab.TaskOptions{Queue: "held"})
		}
	case "hold":
		app.Tasks().Pause("held")
	case "long":
		submit("long", "", &multiprolab.TaskOptions{Queue: "tasks"})
	case "stdin":
		_, err := os.Stdin.Stat()
		fmt.Println("stdin", err)
	case "restless": // for ever
		for _, change := range []func(i int) error{
			func(i int) error { return app.Resize("tasks", 1+i%3) },
			func(int) error { return app.Restart(context.Background(), "tasks") },
			func(int) error {
				_, err := app.Publish("data", strings.NewReader("data of "+version))
				return err
			},
		} {
			go func() {
				for i := 0; change(i) == nil; i++ {
				}
			}()
		}
	case "upgrade twice": // at once, and in a handler
		both := make(chan error)
		go func() { both <- app.Upgrade(context.Background()) }()
		go func() { both <- app.Upgrade(context.Background()) }()
		fmt.Println("upgrade:", <-both)
	case "upgrade in a handler":
		submit("asks-main", "", &multiprolab.TaskOptions{Queue: "tasks"})
	case "resume":
		app.Tasks().Resume("")
	}
}

func web(_ context.Context, w *multiprolab.Worker) error {
	if fault == "setup" {
		return errors.New("the new version has no setup that works")
	}
	mux, ends := http.NewServeMux(), make(chan struct{})
	mux.HandleFunc("/", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, version) })
	mux.HandleFunc("/submit/{queue}/{what}", func(rw http.ResponseWriter, r *http.Request) { // and do not wait
		o := &multiprolab.TaskOptions{Queue: r.PathValue("queue")}
		_, err := w.Tasks().Submit(r.Context(), r.FormValue("type"), r.PathValue("what"), o)
		fmt.Fprint(rw, os.Getppid(), " ", err)
	})
	mux.HandleFunc("/end", func(rw http.ResponseWriter, _ *http.Request) { // at the end of the server
		fmt.Println("the request waits in", os.Getppid())
		<-ends
		fmt.Fprint(rw, version)
	})
	server := &http.Server{Handler: mux}
	server.RegisterOnShutdown(func() { close(ends) })
	return prefork.Serve(w, "web", server, &prefork.Config{Linger: 50 * time.Millisecond})
}

func tasks(_ context.Context, w *multiprolab.Worker) error {
	if fault == "half ready" {
		select {}
	}
	w.OnExit(func(context.Context) error { // when it has been tried
		switch fault {
		case "vanish late":
			return os.Remove(os.Args[1] + ".program")
		case "switch late":
			return os.Rename(os.Args[1]+".other", os.Args[1]+".program")
		case "slow trial", "slow trial alone": // until a file is there
			for os.Getenv("UPGRADE_IN_TRIAL") != "" {
				if _, err := os.Stat(os.Args[1] + ".go"); err == nil {
					break
				}
				time.Sleep(time.Millisecond)
			}
		}
		return nil
	})
	if fault == "fewer" { // the new version has no use for the other tasks
		return nil
	}
	multiprolab.HandleTask(w, "old", func(ctx context.Context, what string) (string, error) {
		if version != "1" {
			fmt.Println("done", what, "by", version)
			return "", nil
		}
		return "", cmp.Or(multiprolab.Checkpoint(ctx, "version "+version), errors.New("version 1 cannot do it"))
	})
	multiprolab.HandleTask(w, "work", func(ctx context.Context, what string) (string, error) {
		fmt.Println("begun", what, "by", version)
		time.Sleep(300 * time.Millisecond)
		fmt.Println("done", what, "by", version)
		return "", nil
	})
	multiprolab.HandleTask(w, "note", func(_ context.Context, what string) (string, error) {
		fmt.Println("done", what, "by", version)
		return "", nil
	})
	multiprolab.HandleTask(w, "quick", func(ctx context.Context, what string) (string, error) {
		fmt.Println("begun", what, "by", version)
		time.Sleep(20 * time.Millisecond)
		fmt.Println("done", what, "by", version)
		return "", nil
	})
	multiprolab.HandleTask(w, "long", func(context.Context, string) (string, error) {
		fmt.Println("begun long by", version)
		for _, err := os.Stat(os.Args[1] + ".go"); err != nil; _, err = os.Stat(os.Args[1] + ".go") {
			time.Sleep(time.Millisecond)
		}
		fmt.Println("done long by", version)
		return "", nil
	})
	multiprolab.HandleTask(w, "asks-main", func(ctx context.Context, _ string) (string, error) {
		_, err := multiprolab.Call[bool](ctx, w, "main", "upgrade", "")
		return "", err
	})
	multiprolab.HandleTask(w, "twice", func(ctx context.Context, _ string) (string, error) {
		if from, ok, err := multiprolab.Last[string](ctx); ok || err != nil {
			fmt.Println("version", version, "goes on from", from, err)
			return "", err
		}
		_, err := multiprolab.Call[bool](ctx, w, "main", "pause", "late") // the second attempt is the next version's
		return "", cmp.Or(err, multiprolab.Checkpoint(ctx, "version "+version), errors.New("the first attempt fails"))
	})
	return nil
}

// timeout returns the time that a variable of the environment says.
func timeout(variable string) time.Duration {
	d, err := time.ParseDuration(os.Getenv(variable))
	if err != nil {
		return 0
	}
	return d
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
