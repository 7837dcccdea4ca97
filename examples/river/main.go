// River shows jobs of River (riverqueue.com), a queue in PostgreSQL, whose bodies run in worker
// processes. A job that is stuck, or that spins, is ended: its slot is free, River retries it and
// then discards it, and the next jobs run. Beside it is the same without processes, in two ways.
//
// River alone ends the context of a job that has taken too long, and can do no more: a goroutine
// cannot be ended from outside. The job holds its slot until the program ends. With a
// JobStuckHandler, River opens another slot, and the job goes on for ever beside the new one.
//
//	cd examples/river && go run . -db postgres://user:password@127.0.0.1:5432/database
//
// The test, go test ., starts a PostgreSQL of its own and looks at what is printed. The worker
// itself is in worker.go, some thirty lines.
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

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/multiprolab/multiprolab"
)

const (
	slots    = 2                // as many as there are jobs that do not come to an end
	attempts = 2                // of each of these
	squares  = 3                // jobs that do
	never    = 2 * time.Second  // the wait for what does not come
	hanging  = 60 * time.Second // the wait for what comes
)

func main() { // runs in main, and up to Start in every worker
	db := flag.String("db", "", "the database, as a URL; tables of River are made in it")
	flag.Parse()
	app := multiprolab.New(&multiprolab.Config{Logger: slog.New(slog.DiscardHandler)})
	app.RegisterWorker("cruncher", crunchers, &multiprolab.WorkerConfig{Count: slots})

	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		log.Fatal(err)
	}
	err := show(ctx, app, *db)
	if failed := app.Close(); err == nil {
		err = failed
	}
	if err != nil {
		log.Fatal(err)
	}
}

// way is one way to run the jobs: a column of the table.
type way struct {
	name     string             // the head of its column
	worker   river.Worker[Args] // what River calls
	config   river.Config       // what is special about River's client
	failures int                // how often the jobs that do not come to an end fail, all in all
	patience time.Duration      // the wait for these, and for the others
}

// result is what came of it.
type result struct {
	stuck, spin string // the jobs that do not come to an end
	squares     int    // how many of the others were done
	left        int32  // jobs that are still at work
	stops       string // whether the client stops
}

func show(ctx context.Context, app *multiprolab.Main, url string) error {
	db, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(db), nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("database -db=%q: %w", url, err)
	}

	ways := []way{
		{"with multiprolab", &Worker{app: app}, river.Config{}, 2 * attempts, hanging},
		{"River alone", &inGoroutines{}, river.Config{JobTimeout: limit}, 0, never},
		{"and a JobStuckHandler", &inGoroutines{}, river.Config{
			JobTimeout:        limit,
			JobStuckThreshold: grace,
			JobStuckHandler: func(context.Context, river.JobStuckHandlerParams) river.JobStuckHandlerResult {
				return river.JobStuckHandlerResult{AddWorkerSlot: true}
			},
		}, 0, hanging},
	}
	var results []*result
	for _, w := range ways {
		r, err := w.run(ctx, db)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
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
	row("a job stuck in select {}", func(i int) any { return results[i].stuck })
	row("a job that spins", func(i int) any { return results[i].spin })
	row("the next jobs", func(i int) any { return fmt.Sprintf("%d of %d done", results[i].squares, squares) })
	row("still at work", func(i int) any { return results[i].left })
	row("the client stops", func(i int) any { return results[i].stops })
	return table.Flush()
}

// run runs two jobs that do not come to an end, and then some that do, on as many slots as there
// are of the first.
func (w way) run(ctx context.Context, db *pgxpool.Pool) (*result, error) {
	queue := strings.ReplaceAll(strings.ToLower(w.name), " ", "_") // one for each column
	worker := &counted{Worker: w.worker}
	config := w.config
	config.Queues = map[string]river.QueueConfig{queue: {MaxWorkers: slots}}
	config.Workers = river.NewWorkers()
	river.AddWorker(config.Workers, worker)
	config.Logger = slog.New(slog.DiscardHandler) // the table tells
	client, err := river.NewClient(riverpgxv5.New(db), &config)
	if err != nil {
		return nil, err
	}
	events, unsubscribe := client.Subscribe(river.EventKindJobCompleted, river.EventKindJobFailed)
	defer unsubscribe()

	twice := &river.InsertOpts{Queue: queue, MaxAttempts: attempts}
	jobs := []river.InsertManyParams{
		{Args: Args{Do: "stuck"}, InsertOpts: twice},
		{Args: Args{Do: "spin"}, InsertOpts: twice},
	}
	often := &river.InsertOpts{Queue: queue}
	for n := range squares {
		jobs = append(jobs, river.InsertManyParams{Args: Args{Do: "square", N: n}, InsertOpts: often})
	}
	inserted, err := client.InsertMany(ctx, jobs) // River takes them in this order
	if err != nil {
		return nil, err
	}
	if err := client.Start(ctx); err != nil {
		return nil, err
	}

	var r result
	late := time.After(w.patience)
	for failures, over := 0, false; !over && (r.squares < squares || failures < w.failures); {
		select {
		case e := <-events:
			switch {
			case e.Kind == river.EventKindJobCompleted:
				r.squares++
			case e.Job.MaxAttempts == attempts: // the others may fail on a busy machine, and are retried
				failures++
			}
		case <-late:
			over = true
		}
	}
	if r.stuck, err = fate(ctx, client, inserted[0].Job.ID); err != nil {
		return nil, err
	}
	if r.spin, err = fate(ctx, client, inserted[1].Job.ID); err != nil {
		return nil, err
	}
	r.left = worker.running.Load()
	r.stops = "yes"
	stopping, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if client.StopAndCancel(stopping) != nil {
		r.stops = "no"
	}
	return &r, nil
}

// fate says what River's table says of a job.
func fate(ctx context.Context, client *river.Client[pgx.Tx], id int64) (string, error) {
	job, err := client.JobGet(ctx, id)
	if err != nil {
		return "", err
	}
	if job.State != rivertype.JobStateDiscarded {
		return fmt.Sprintf("%s, attempt %d", job.State, job.Attempt), nil
	}
	last := job.Errors[len(job.Errors)-1].Error
	if strings.Contains(last, "killed") {
		last = "killed"
	}
	return fmt.Sprintf("%s after %d attempts: %s", job.State, len(job.Errors), last), nil
}

// counted is a worker that counts the jobs that are at work, and retries at once.
type counted struct {
	river.Worker[Args]
	running atomic.Int32
}

// Work implements river.Worker.
func (c *counted) Work(ctx context.Context, job *river.Job[Args]) error {
	c.running.Add(1)
	defer c.running.Add(-1)
	return c.Worker.Work(ctx, job)
}

// NextRetry implements river.Worker.
func (c *counted) NextRetry(*river.Job[Args]) time.Time { return time.Now() }

// inGoroutines is the usual River worker.
type inGoroutines struct {
	river.WorkerDefaults[Args]
}

// Work implements river.Worker.
func (*inGoroutines) Work(_ context.Context, job *river.Job[Args]) error {
	crunch(job.Args)
	return nil
}
