// Asynq shows tasks of Asynq (github.com/hibiken/asynq), a queue in Redis, whose bodies run in
// worker processes. A task that is stuck, or that spins, is ended with all that it holds: Asynq
// retries it and then archives it, and the next tasks run. Beside it is the same without processes.
//
// Asynq alone turns away from a task that has taken too long, and can do no more: a goroutine
// cannot be ended from outside. Its slot goes to the next task, but the old one goes on for ever,
// with its memory, its locks and its processor; and each retry begins a second one beside it.
//
//	cd examples/asynq && go run . -redis 127.0.0.1:6379
//
// The test, go test ., starts a Redis of its own and looks at what is printed. The handler itself
// is in handler.go, some thirty lines.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/hibiken/asynq"

	"github.com/multiprolab/multiprolab"
)

const (
	slots    = 2 // as many as there are tasks that do not come to an end
	attempts = 2 // of each of these
	others   = 3 // tasks that do
	hanging  = time.Minute
)

func main() { // runs in main, and up to Start in every worker
	redis := flag.String("redis", "127.0.0.1:6379", "the address of the Redis server; queues are made in it")
	flag.Parse()
	app := multiprolab.New(&multiprolab.Config{Logger: slog.New(slog.DiscardHandler)})
	app.RegisterWorker("cruncher", crunchers, &multiprolab.WorkerConfig{Count: slots})

	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		log.Fatal(err)
	}
	err := show(ctx, app, asynq.RedisClientOpt{Addr: *redis})
	if failed := app.Close(); err == nil {
		err = failed
	}
	if err != nil {
		log.Fatal(err)
	}
}

// way is one way to run the tasks: a column of the table.
type way struct {
	name    string        // the head of its column
	handler asynq.Handler // what Asynq calls
	timeout time.Duration // of Asynq, for each attempt
}

// result is what came of it.
type result struct {
	stuck, spin string // the tasks that do not come to an end
	done        int    // how many of the others were done
	left        int32  // bodies that are still at work
}

func show(ctx context.Context, app *multiprolab.Main, redis asynq.RedisClientOpt) error {
	ways := []way{
		{"with multiprolab", &Handler{app: app}, time.Hour},
		{"Asynq alone", asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
			crunch(t.Payload())
			return nil
		}), time.Second}, // Asynq counts whole seconds
	}
	var results []*result
	for _, w := range ways {
		r, err := w.run(ctx, redis)
		if err != nil {
			return fmt.Errorf("%s, Redis at %s: %w", w.name, redis.Addr, err)
		}
		results = append(results, r)
	}

	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	row := func(what string, cell func(i int) any) {
		fmt.Fprint(table, what)
		for i := range ways {
			fmt.Fprintf(table, "\t%v", cell(i))
		}
		fmt.Fprintln(table)
	}
	row("", func(i int) any { return ways[i].name })
	row("a task stuck in select {}", func(i int) any { return results[i].stuck })
	row("a task that spins", func(i int) any { return results[i].spin })
	row("the next tasks", func(i int) any { return fmt.Sprintf("%d of %d done", results[i].done, others) })
	row("still at work", func(i int) any { return results[i].left })
	return table.Flush()
}

// run runs two tasks that do not come to an end, and then some that do, on as many slots as there
// are of the first.
func (w way) run(ctx context.Context, redis asynq.RedisClientOpt) (*result, error) {
	queue := strings.ReplaceAll(strings.ToLower(w.name), " ", "-") // one for each column
	client, inspector := asynq.NewClient(redis), asynq.NewInspector(redis)
	defer client.Close()
	defer inspector.Close()

	var r result
	bodies := []string{"stuck", "spin"}
	for range others {
		bodies = append(bodies, "shout")
	}
	var ids []string
	for i, body := range bodies { // Asynq takes them in this order
		retries := attempts - 1
		if i >= slots {
			retries = 25 // on a busy machine it may need one
		}
		info, err := client.EnqueueContext(ctx, asynq.NewTask("crunch", []byte(body)), asynq.Queue(queue),
			asynq.MaxRetry(retries), asynq.Timeout(w.timeout), asynq.Retention(time.Hour))
		if err != nil {
			return nil, err
		}
		ids = append(ids, info.ID)
	}

	var running atomic.Int32
	counted := asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		running.Add(1)
		defer running.Add(-1)
		return w.handler.ProcessTask(ctx, t)
	})
	server := asynq.NewServer(redis, asynq.Config{
		Concurrency:              slots,
		Queues:                   map[string]int{queue: 1},
		RetryDelayFunc:           func(int, error, *asynq.Task) time.Duration { return 0 },
		DelayedTaskCheckInterval: 100 * time.Millisecond,
		TaskCheckInterval:        100 * time.Millisecond,
		LogLevel:                 asynq.FatalLevel, // the table tells
	})
	if err := server.Start(counted); err != nil {
		return nil, err
	}
	defer server.Shutdown()

	fates := make([]string, len(ids))
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(hanging)
	for over, ended := false, 0; !over && ended < len(ids); {
		select {
		case <-late:
			over = true
		case <-tick.C:
		}
		ended = 0
		for i, id := range ids {
			info, err := inspector.GetTaskInfo(queue, id)
			if err != nil {
				return nil, err
			}
			fates[i] = fate(info)
			if info.State == asynq.TaskStateArchived || info.State == asynq.TaskStateCompleted {
				ended++
			}
		}
	}
	r.stuck, r.spin, r.left = fates[0], fates[1], running.Load()
	for _, f := range fates[2:] {
		if f == "completed" {
			r.done++
		}
	}
	return &r, nil
}

// fate says what Redis says of a task.
func fate(info *asynq.TaskInfo) string {
	if info.State != asynq.TaskStateArchived {
		return info.State.String()
	}
	last := info.LastErr
	if strings.Contains(last, "killed") {
		last = "killed"
	}
	return fmt.Sprintf("%s after %d attempts: %s", info.State, info.Retried+1, last)
}
