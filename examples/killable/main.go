// Killable shows what a goroutine cannot do: be killed. Four workers get a hundred tasks of honest
// work, and among them some that loop for ever, take all memory, kill the process that they run in,
// or are cancelled. Each of those ends alone, with an error that says how; the hundred all come
// back; workers that died are replaced.
//
//	go run ./examples/killable
//
// It ends by itself, with exit code 0 if every task ended as it should. The function outcome, in
// outcome.go, tells all the ways apart in which a task can end; it is there to be copied.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/multiprolab/multiprolab"
)

const (
	workers    = 4
	stamps     = 100 // tasks of honest work
	queueLimit = 150
)

func main() { // runs in main, and up to Start in every worker
	pids := map[string][]int{} // of each worker's lives; the events come one by one, and none after Close
	app := multiprolab.New(&multiprolab.Config{
		QueueLimit: queueLimit,
		// a dying worker prints its stacks; the error that tells of its death holds them too
		Stderr: io.Discard,
		Logger: slog.New(slog.DiscardHandler), // OnEvent tells what happens
		OnEvent: func(e multiprolab.Event) {
			switch e := e.(type) {
			case *multiprolab.WorkerReady:
				pids[e.Worker] = append(pids[e.Worker], e.PID)
				say("%s (pid %d) is ready, life %d", e.Worker, e.PID, e.Life)
			case *multiprolab.WorkerFailed:
				say("%s (pid %d) is dead; it is replaced: %v", e.Worker, e.PID, e.Restart)
			}
		},
	})
	app.RegisterWorker("worker", worker, &multiprolab.WorkerConfig{Count: workers, Limits: multiprolab.Limits{Memory: memoryLimit}})

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) // Start leaves the signals to the program
	defer stop()
	if err := app.Start(ctx); err != nil {
		log.Fatal(err)
	}
	var r report
	came := run(ctx, app, &r)
	tooLate := fill(ctx, app, &r)
	dead := app.Tasks().Dead()
	if err := app.Close(); err != nil { // nothing of the workers is left after this
		log.Fatal(err)
	}
	if tooLate != nil { // the queue took one
		r.add("still in the queue at the end", "stopped with the program", tooLate.Result(ctx, nil))
	}

	fmt.Println()
	for _, task := range dead {
		fmt.Printf("dead letter: task %q, id %d: %v\n", task.Type, task.ID, task.Err)
	}
	r.print(pids, came)
	if r.wrong > 0 {
		log.Fatalf("%d tasks did not end as they should", r.wrong)
	}
}

// run puts everything into the queue at once, waits for all outcomes, and returns how many stamps
// came from each worker.
func run(ctx context.Context, app *multiprolab.Main, r *report) map[string]int {
	tasks := app.Tasks()
	do := func(typ string, o *multiprolab.TaskOptions) error {
		_, err := multiprolab.DoWith[any](ctx, app, typ, nil, o)
		return err
	}
	var all sync.WaitGroup
	for _, t := range []struct {
		what, want string // want is how its outcome begins
		run        func() error
	}{
		{"loops for ever", "timed out after 500ms, and worker/", func() error {
			err := do("spin", &multiprolab.TaskOptions{Timeout: 500 * time.Millisecond, Grace: 100 * time.Millisecond})
			var timeout *multiprolab.TimeoutError
			if errors.As(err, &timeout) {
				say("%s (pid %d) was killed here:%s", timeout.Worker, timeout.PID, topFrames(timeout.Stderr, 3))
			}
			return err
		}},
		{"takes all memory", "out of memory: worker/", func() error { return do("hoard", nil) }},
		{"kills its worker", "its worker died: worker/", func() error { return do("die", nil) }},
		{"kills three workers", "given up after 3 attempts, the last of which: its worker died: worker/", func() error {
			return do("die", &multiprolab.TaskOptions{
				Attempts: 3,
				Retry:    multiprolab.RetryPolicy{On: multiprolab.RetryDeaths, First: 50 * time.Millisecond},
			})
		}},
		{"returns an error", "failed on worker/", func() error { return do("refuse", nil) }},
		{"cancelled in the queue", "cancelled", func() error {
			task, err := tasks.Submit(ctx, "wait", nil, &multiprolab.TaskOptions{Delay: time.Hour})
			if err != nil {
				return err
			}
			task.Cancel()
			return task.Result(ctx, nil)
		}},
		{"cancelled while it runs", "cancelled", func() error {
			var task *multiprolab.Future[any]
			task, err := tasks.Submit(ctx, "wait", nil, &multiprolab.TaskOptions{
				OnProgress: func(context.Context, *multiprolab.Message) { task.Cancel() }, // it says that it runs
			})
			if err != nil {
				return err
			}
			defer task.Cancel() // an interrupt ends Result, not the task
			return task.Result(ctx, nil)
		}},
	} {
		all.Go(func() { r.add(t.what, t.want, t.run()) })
	}

	came := map[string]int{}
	good := 0
	err := func() error {
		letters := func(yield func(int) bool) {
			for i := 1; i <= stamps && yield(i); i++ {
			}
		}
		for stamp, err := range multiprolab.Map[Stamp](ctx, app, "stamp", letters, nil) { // in the order of the letters
			if err != nil {
				return err
			}
			good++
			if stamp.Letter != good || !stamp.valid() {
				return fmt.Errorf("%v is no stamp for letter %d", stamp, good)
			}
			came[stamp.Worker]++
			if good%20 == 0 {
				say("%d of %d stamps have come back, this one from %s (pid %d)", good, stamps, stamp.Worker, stamp.PID)
			}
		}
		return nil
	}()
	all.Wait()
	r.add(fmt.Sprintf("%d of %d stamps", good, stamps), "done", err)
	return came
}

// fill pauses the queue, puts tasks into it until it takes no more, and returns one of them.
func fill(ctx context.Context, app *multiprolab.Main, r *report) (last *multiprolab.Future[any]) {
	app.Tasks().Pause("")
	for n := 0; ; n++ {
		task, err := app.Tasks().TrySubmit(ctx, "wait", nil, nil)
		if err != nil {
			r.add(fmt.Sprintf("one more than the %d that the queue holds", n), "not accepted: the queue is full", err)
			return last
		}
		last = task
	}
}

// report gathers how the tasks ended. Any goroutine may add to it.
type report struct {
	mu    sync.Mutex
	rows  strings.Builder
	wrong int
}

// add notes how a task ended; want is how its outcome has to begin.
func (r *report) add(what, want string, err error) {
	got, verdict := outcome(err), "ok"
	say("%s: %s", what, got)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !strings.HasPrefix(got, want) {
		verdict = fmt.Sprintf("WRONG: not %q", want)
		r.wrong++
	}
	fmt.Fprintf(&r.rows, "%s\t%s\t%s\n", what, verdict, got)
}

func (r *report) print(pids map[string][]int, came map[string]int) {
	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintf(table, "\nTASK\tCHECK\tOUTCOME\n%s\nWORKER\tSTAMPS\tPIDS OF ITS LIVES\n", r.rows.String())
	for _, name := range slices.Sorted(maps.Keys(pids)) {
		fmt.Fprintf(table, "%s\t%d\t%v\n", name, came[name], pids[name])
	}
	table.Flush()
}

// topFrames returns the top frames of this program's own code in the stacks that the Go runtime
// printed.
func topFrames(stacks string, most int) string {
	lines := strings.Split(stacks, "\n")
	top := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "main.") })
	if top < 0 {
		// it did not get hold of the thread in time: the processors are overloaded
		return " the Go runtime could not tell"
	}
	var b strings.Builder
	for _, line := range lines[top:min(top+2*most, len(lines))] { // a function and its place take a line each
		line, _, _ = strings.Cut(line, " fp=")
		fmt.Fprintf(&b, "\n    %s", line)
	}
	return b.String()
}

// say prints a line of main.
func say(format string, args ...any) {
	fmt.Printf("main (pid %d): %s\n", os.Getpid(), fmt.Sprintf(format, args...))
}

// worker is the setup function of the workers. From here on all runs in their processes.
func worker(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "stamp", func(_ context.Context, letter int) (Stamp, error) {
		stamp := Stamp{Letter: letter, Worker: w.Name(), PID: os.Getpid()}
		for !stamp.valid() {
			stamp.Nonce++
		}
		return stamp, nil
	})
	for typ, handler := range map[string]multiprolab.TaskHandler{
		"spin": spin, "hoard": hoard, "die": die, "refuse": refuse, "wait": wait,
	} {
		w.HandleTask(typ, func(ctx context.Context, t *multiprolab.Task) (any, error) {
			// it comes out where main's lines do
			fmt.Printf("%s (pid %d): begins task %q, attempt %d\n", w.Name(), os.Getpid(), t.Type, t.Attempt)
			return handler(ctx, t)
		})
	}
	return nil
}

// Stamp is proof of honest work, as hashcash is: it takes some 65,000 hashes to find a valid one,
// and one to check it.
type Stamp struct {
	Letter int
	Nonce  uint64
	Worker string // who found it
	PID    int
}

func (s Stamp) valid() bool {
	hash := sha256.Sum256(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(s.Letter)), s.Nonce))
	return hash[0] == 0 && hash[1] == 0
}

// spin loops for ever, and does not look at its context.
func spin(context.Context, *multiprolab.Task) (any, error) {
	for n := uint64(1); ; n += 2 {
		if n == 0 { // never: n is odd
			return n, nil
		}
	}
}

// hoard allocates without end.
func hoard(context.Context, *multiprolab.Task) (any, error) {
	var all [][]byte
	for {
		all = append(all, make([]byte, 1<<20))
		runtime.KeepAlive(all)
	}
}

// die ends its own process, on each attempt in another way.
func die(_ context.Context, t *multiprolab.Task) (any, error) {
	switch t.Attempt {
	case 1:
		os.Exit(3)
	case 2:
		panic("as a bug would")
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return nil, err
	}
	if err := self.Kill(); err != nil { // as the kernel's out-of-memory killer would
		return nil, err
	}
	select {}
}

// refuse returns an error, as an ordinary function does.
func refuse(context.Context, *multiprolab.Task) (any, error) {
	return nil, errors.New("no, not this one")
}

// wait tells its submitter that it runs, and waits until it is cancelled.
func wait(ctx context.Context, t *multiprolab.Task) (any, error) {
	if err := t.Progress(ctx, nil); err != nil {
		return nil, err
	}
	<-ctx.Done()
	return nil, context.Cause(ctx)
}
