// Example survey does a real piece of work: it parses every Go file of a source tree in worker
// processes and prints what it found - how much code there is, the longest functions, the most used
// imports, the files that do not parse.
//
//	go run ./examples/survey                 # the source of the Go installation
//	go run ./examples/survey ~/src/project   # any other directory
//	go run ./examples/survey -verify         # does it again in one process, and compares every figure
//	go run ./examples/survey -kill 5         # kills five workers on the way, and shows that nothing is lost
//	go run ./examples/survey -dashboard :8080   # shows all of it meanwhile, at http://127.0.0.1:8080
//
// With -dashboard there also are the profiles of each process, under /debug/pprof/, and the record
// of main, at /record.
//
// Main walks the tree and hands the paths to multiprolab.Map, which yields one report for each. The
// workers read and parse the files. A file that crashes the parser ends its worker process and
// nothing else: the library replaces the worker, and the file is started once more, then reported
// as lost.
//
// The exit code is 0 if every file has its report and, with -verify, all figures agree; else 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/console"
)

var (
	workers = flag.Int("workers", runtime.NumCPU(), "the `number` of worker processes")
	top     = flag.Int("top", 10, "the `number` of functions and of imports in the tables")
	verify  = flag.Bool("verify", false, "do the same again in this process alone, and compare every figure")
	kills   = flag.Int("kill", 0, "kill this `number` of workers at random on the way")
	page    = flag.String("dashboard", "", "show what goes on at this `address`, such as :8080, to browsers")
)

func main() { // runs in main, and up to Start in the workers too
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: survey [flags] [directory]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 1 || *workers < 1 || *top < 0 || *kills < 0 {
		flag.Usage()
		os.Exit(2)
	}

	terminal := &console.Terminal{}
	roster := newRoster(terminal)
	app := multiprolab.New(&multiprolab.Config{
		OnEvent: roster.onEvent,
		Stderr:  terminal,                      // above the bar
		Logger:  slog.New(slog.DiscardHandler), // the roster reports what the log would
	})
	app.RegisterWorker("surveyor", surveyor, &multiprolab.WorkerConfig{
		Count:           *workers,
		Prefetch:        2,                                                        // the files are small
		Process:         multiprolab.ProcessConfig{Env: []string{"GOMAXPROCS=1"}}, // a processor for each worker
		RestartLimit:    multiprolab.RestartLimit{Restarts: *kills + 10},
		RestartDelay:    10 * time.Millisecond,
		RestartMaxDelay: 10 * time.Millisecond,
	})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	if err := app.Start(ctx); err != nil { // in a worker, Start does not return
		fail(err)
	}
	if *page != "" {
		server, err := serveDashboard(app, *page)
		if err != nil {
			fail(errors.Join(err, app.Close()))
		}
		defer server.Close()
	}
	err := survey(ctx, app, terminal, roster)
	if err != nil && ctx.Err() != nil {
		err = &interrupted{err}
	}
	stop() // a second Ctrl-C would end the program at once
	if err := errors.Join(err, app.Close()); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "survey:", err)
	// a shell expects what Run's Main.Cause says; Start leaves the signals to the program
	if _, ok := errors.AsType[*interrupted](err); ok {
		os.Exit((&multiprolab.SignalError{Signal: os.Interrupt}).ExitCode())
	}
	os.Exit(1)
}

// interrupted is the error of a survey that Ctrl-C has ended.
type interrupted struct{ err error }

func (e *interrupted) Error() string { return "interrupted: " + e.err.Error() }
func (e *interrupted) Unwrap() error { return e.err }

// brief returns what an error says without the stderr of a dead worker, which has been printed
// already.
func brief(err error) string {
	text, _, _ := strings.Cut(err.Error(), "; stderr:\n")
	return text
}

// surveyor is the setup function of the workers. It runs in the worker's process, and only there.
func surveyor(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "survey", func(ctx context.Context, path string) (Report, error) {
		attempt := multiprolab.TaskFrom(ctx).Attempt
		return Report{Path: path, Worker: w.Name(), PID: os.Getpid(), Attempt: attempt, Facts: examine(path, *top)}, nil
	})
	return nil
}

// survey is the work of main. An error means that the figures cannot be relied on.
func survey(ctx context.Context, app *multiprolab.Main, terminal *console.Terminal, roster *roster) error {
	root, err := sourceTree(ctx)
	if err != nil {
		return err
	}
	var paths []string
	var unreadable []Fault // directories
	for path, err := range goFiles(ctx, root) {
		if err != nil {
			unreadable = append(unreadable, Fault{path, err.Error()})
		} else {
			paths = append(paths, path)
		}
	}
	begun := time.Now()
	reports, lost, err := examineAll(ctx, app, paths, terminal, roster)
	if err != nil {
		return err
	}
	took := time.Since(begun).Round(time.Millisecond)

	summary := summarise(reports, unreadable, *top)
	fmt.Printf("%s\n\n", root)
	summary.print(os.Stdout, root)
	printShares(os.Stdout, reports)
	fmt.Printf("\n%d files by %d workers in %v\n", len(reports), *workers, took)

	err = account(paths, reports, lost)
	if *kills > 0 {
		err = errors.Join(err, accountKills(roster.killed, reports))
		if err == nil {
			fmt.Printf("each of the %d files has exactly one result: none was lost\n", len(paths))
		}
	}
	if *verify {
		err = errors.Join(err, verifyAlone(ctx, paths, reports, summary, unreadable))
	}
	return err
}

// sourceTree returns the directory to survey, with its symlinks resolved, which the walk does not
// follow.
func sourceTree(ctx context.Context) (string, error) {
	dir := flag.Arg(0)
	if dir == "" {
		out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
		if err != nil {
			return "", fmt.Errorf("go env GOROOT: %w: give a directory instead", err)
		}
		dir = filepath.Join(strings.TrimSpace(string(out)), "src")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}

// examineAll has the files examined by the workers, and kills some of these meanwhile. It returns
// the reports in the order of the paths, and the files that have none.
func examineAll(
	ctx context.Context,
	app *multiprolab.Main,
	paths []string,
	terminal *console.Terminal,
	roster *roster,
) (reports []Report, lost []Fault, err error) {
	total, done := len(paths), 0
	results := multiprolab.Map[Report](ctx, app, "survey", slices.Values(paths), &multiprolab.MapConfig{
		Window: max(64, 8**workers),
		// all kills may hit one file, and one crash of its own is forgiven
		Task: multiprolab.TaskOptions{Attempts: *kills + 2},
	})
	bar := &console.Config{Label: "files", Total: total, Workers: app, Clear: true, Terminal: terminal}
	for report, err := range console.ProgressWith(results, bar) {
		switch {
		case ctx.Err() != nil:
			return nil, nil, fmt.Errorf("%d of %d files were done", done, total)
		case err != nil: // the results come in the order of the paths
			lost = append(lost, Fault{paths[done], brief(err)})
		default:
			reports = append(reports, report)
		}
		done++
		for n := len(roster.killed) + 1; n <= *kills && done*(*kills+1) >= n*total; n++ { // spread over the files
			if err := roster.killOne(ctx); err != nil {
				return nil, nil, err
			}
		}
	}
	return reports, lost, nil
}

// account returns an error unless every file has exactly one result.
func account(paths []string, reports []Report, lost []Fault) error {
	const most = 10
	var errs []error
	for i, f := range lost {
		if i == most {
			errs = append(errs, fmt.Errorf("and %d more files were lost", len(lost)-most))
			break
		}
		errs = append(errs, fmt.Errorf("%s was lost: %s", f.Path, f.Text))
	}
	results := map[string]int{}
	for _, r := range reports {
		results[r.Path]++
	}
	for _, f := range lost {
		results[f.Path]++
	}
	wrong := 0
	for _, path := range paths {
		if results[path] != 1 {
			wrong++
		}
		delete(results, path)
	}
	if wrong += len(results); wrong > 0 {
		errs = append(errs, fmt.Errorf("%d files do not have exactly one result", wrong))
	}
	return errors.Join(errs...)
}

// accountKills prints what the kills did. It returns an error if there was no time for all.
func accountKills(killed []process, reports []Report) error {
	again := 0
	for _, r := range reports {
		if r.Attempt > 1 {
			again++
		}
	}
	fmt.Printf("\n%d workers were killed on the way:\n", len(killed))
	for _, p := range killed {
		fmt.Printf("  %v\n", p)
	}
	fmt.Printf("%d files were in work at that moment, and were started again\n", again)
	if len(killed) < *kills {
		return fmt.Errorf("%d of %d workers were killed: there are too few files", len(killed), *kills)
	}
	return nil
}

// verifyAlone does the whole work again in this process, and returns an error unless every figure
// agrees.
func verifyAlone(ctx context.Context, paths []string, reports []Report, summary Summary, unreadable []Fault) error {
	begun := time.Now()
	alone := make([]Report, 0, len(paths))
	for _, path := range paths {
		if ctx.Err() != nil {
			return errors.New("the verification was not done")
		}
		alone = append(alone, Report{Path: path, Facts: examine(path, *top)})
	}
	took := time.Since(begun).Round(time.Millisecond)
	if err := compare(reports, alone, summary, summarise(alone, unreadable, *top)); err != nil {
		return err
	}
	fmt.Printf(
		"\nverified: this process alone, in %v, found the same in each of %d files, and the same totals\n",
		took,
		len(alone),
	)
	return nil
}
