package house_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sample is a Go block of the README and how it is run: put into the complete program at the place
// that the README names.
type sample struct {
	place  string // "whole", "action", "setup" or "around"
	after  string // code that follows it in the action of main, and shows its effect
	before string // code before it there
	setup  string // further code of the setup function, or of the task "square" that replaces it
	edit   []string
	want   string // what the program prints
}

// counter is what the samples of messages expect in the worker.
const counter = `
count := 1
multiprolab.Handle(w, "reset", func(ctx context.Context, _ struct{}) error { count = 0; return nil })
multiprolab.HandleCall(w, "count", func(ctx context.Context, _ struct{}) (int, error) { return count, nil })
`

// ask prints the sum of the counts of all squarers.
const ask = `
sum := 0
for i := range 4 {
	n, err := multiprolab.Call[int](ctx, app, fmt.Sprint("squarer/", i), "count", nil)
	if err != nil {
		return err
	}
	sum += n
}
fmt.Println("sum", sum, err)
`

// awaitAlive prints who is the first to send "alive".
const awaitAlive = `
fmt.Println(strings.HasPrefix(<-alive, "squarer/"))
`

// samples are the Go blocks of the README by the beginning of their first line.
var samples = map[string]sample{
	"package main": {place: "whole", want: "144 <nil>\n"},
	"// A task that may run for two seconds": {
		place: "action",
		after: `fmt.Println(n, err)`,
		want:  "144 <nil>\n144 <nil>\n",
		before: `
			_, err := multiprolab.DoWith[int](ctx, app, "spin", 1, &multiprolab.TaskOptions{Timeout: 20 * time.Millisecond, Grace: 20 * time.Millisecond})
			if timeout := (*multiprolab.TimeoutError)(nil); !errors.As(err, &timeout) || !timeout.Killed {
				return fmt.Errorf("the task was not killed: %v", err)
			}
			fmt.Println(multiprolab.Do[int](ctx, app, "square", 12))
			`,
		edit: []string{
			"n, err := multiprolab.DoWith",
			"n, err := multiprolab.DoWith",
			`app, "square", 12, &`,
			`app, "dies-twice", 12, &`,
		},
		setup: `
			multiprolab.HandleTask(w, "spin", func(ctx context.Context, n int) (int, error) { for {} })
			multiprolab.HandleTask(w, "dies-twice", func(ctx context.Context, n int) (int, error) {
				if multiprolab.TaskFrom(ctx).Attempt < 3 {
					os.Exit(1)
				}
				return n * n, nil
			})`,
	},
	"// A sequence of any length": {place: "action", want: "1 <nil>\n4 <nil>\n9 <nil>\n"},
	"// A future; Wait": {place: "action", want: "144 <nil>\n", after: `
		if err != nil {
			return err
		}
		fmt.Println(future.Wait(ctx))
		future.Cancel()`},
	"// A result that comes in pieces": {place: "action", want: "first\nsecond\n", setup: `
		multiprolab.HandleStream(w, "lines", func(ctx context.Context, name string) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) { _ = yield("first", nil) && yield("second", nil) }
		})`},
	"// A message to whichever squarer": {place: "action", setup: counter, after: ask, want: "sum 0 <nil>\n"},
	"// A question to one process": {
		place: "action",
		setup: counter,
		after: `fmt.Println(n, err)`,
		want:  "1 <nil>\n",
	},
	"// Messages and calls. Handlers, tasks": {place: "setup", want: "sum 0 <nil>\n",
		before: `if err := multiprolab.Broadcast(ctx, app, "squarer", "reset", nil); err != nil { return err }`, after: "var err error\n" + ask},
	"// A task that goes on where it was": {
		place: "setup",
		want:  "5 <nil>\n",
		after: `fmt.Println(multiprolab.DoWith[int](ctx, app, "climb", 5, &multiprolab.TaskOptions{Attempts: 2}))`,
		edit: []string{
			"err = multiprolab.Checkpoint(ctx, n+1)",
			"if err = multiprolab.Checkpoint(ctx, n+1); n == 2 { os.Exit(1) }",
		},
	},
	"// Something to do every minute": {
		place: "setup",
		edit:  []string{"time.Minute", "time.Millisecond"},
		after: awaitAlive,
		want:  "true\n",
	},
	"// Somebody else's event loop": {
		place: "setup",
		edit:  []string{"127.0.0.1:8080", "127.0.0.1:0"},
		setup: counter,
		after: "var err error\n" + ask,
		want:  "sum 4 <nil>\n",
	},
	// Without Nice when it runs: where processors are short, processes of less priority that end by
	// the dozen keep the kernel busy for seconds (Linux 6.18). TestSetup has Nice.
	"// A worker with its own limits": {place: "around", want: "12 <nil>\n", edit: []string{"Nice: 5", "Nice: 0"},
		after: `
			for range 12 { // more than the default of RestartLimit
				before := parsers.Load()
				if err := multiprolab.Send(ctx, app, "parser/0", "die", nil); err != nil { return err }
				for parsers.Load() == before {
					time.Sleep(time.Millisecond)
				}
			}
			fmt.Println(12, app.Cause())`},
	"// From here on for main alone": {
		place: "around",
		want:  "once\n144 <nil>\n",
	},
	"// What happens to the parsers": {
		place: "around",
		want:  "parser/0 is up, life 1\n",
		edit: []string{
			`log.Println(e.Worker, "is up, life", e.Life)`,
			`fmt.Println(e.Worker, "is up, life", e.Life); break watching`,
			"for e := range events {",
			"watching: for e := range events {",
		},
	},
	"// A page that shows it all": {
		place: "around",
		want:  "200 OK\n",
		edit: []string{
			`go http.ListenAndServe("127.0.0.1:8080", page)`, "server := httptest.NewServer(page)\ndefer server.Close()",
		},
	},
	"// One snapshot of workers": {
		place: "action",
		before: `
			_, err := multiprolab.Do[int](ctx, app, "square", 12)
			if err != nil {
				return err
			}
			`,
		edit: []string{"log.Println(t.Type, t.Queued", "fmt.Println(t.Type, t.Queued", `, "run; 99 of 100`, `, t.Run.P99 > 0)
	_ = fmt.Sprint("run; 99 of 100`, `err := app.Kill("parser/2")`, `err := app.Kill("squarer/2")`},
		after: "fmt.Println(err)",
		want:  "square 0 wait, 0 true\n<nil>\n",
	},
	"// HTTP behind one port": {place: "around", want: "200 OK\n", edit: []string{"127.0.0.1:8080", "127.0.0.1:0"}},
	"// A table of any size":  {place: "around", want: "2.5 <nil>\n"},
	"// In a program that has its own main loop": {
		place: "around",
		want:  "144 <nil>\nmultiprolab: exit was requested\n",
	},
	"// Everything in one process": {place: "around", want: "144 <nil>\ntrue\n"},
}

// program returns the program that runs a sample, as a package of its own.
func (s *sample) program(whole, code string) string {
	for i := 0; i+1 < len(s.edit); i += 2 {
		code = strings.ReplaceAll(code, s.edit[i], s.edit[i+1])
	}
	const action = "\t\tn, err := multiprolab.Do[int](ctx, app, \"square\", 12)\n\t\tfmt.Println(n, err)\n"
	const handler = "\treturn nil\n}\n"
	const run = "\tif err := app.Run(context.Background()); err != nil { // in a worker process it never returns\n\t\tlog.Fatal(err)\n\t}\n"
	const made = "\tapp := multiprolab.New(nil)\n"
	put := func(old, text string) { whole = strings.Replace(whole, old, text, 1) }
	parser := func(setup string) {
		whole += "\nvar parsers atomic.Int32\n\nfunc parser(ctx context.Context, w *multiprolab.Worker) error {\n" + setup + "\nreturn multiprolab.Send(ctx, w, \"main\", \"parser\", nil)\n}\n"
		put(
			made,
			made+"multiprolab.Handle(app, \"parser\", func(context.Context, struct{}) error { parsers.Add(1); return nil })\n",
		)
	}
	switch {
	case s.place == "whole":
		whole = code
	case s.place == "action":
		put(action, "{"+s.before+"}\n"+code+s.after+"\n")
		put(handler, s.setup+"\n"+handler)
	case s.place == "setup":
		put(action, s.before+"\n"+s.after+"\n")
		put(handler, s.setup+"\n"+code+handler)
		if strings.Contains(code, `"alive"`) {
			put(
				made,
				made+"alive := make(chan string, 1)\nmultiprolab.Handle(app, \"alive\", func(_ context.Context, name string) error {\nselect {\ncase alive <- name:\ndefault:\n}\nreturn nil\n})\n",
			)
			// beside main's loop
			put("app.After(0, func(ctx context.Context) error {\n", "go func() { "+s.after+" app.Exit() }()\n")
			put(s.before+"\n"+s.after+"\n\t\tapp.Exit()\n\t\treturn nil\n\t})\n", "")
		}
	case strings.Contains(code, "RegisterGroup"):
		parser(`multiprolab.Handle(w, "die", func(context.Context, struct{}) error { os.Exit(1); return nil })`)
		put(
			run,
			"app.RegisterWorker(\"cache\", func(context.Context, *multiprolab.Worker) error { return nil }, nil)\n"+code+run,
		)
		code := strings.Replace(s.after, "return err", "return", 1)
		put(
			"app.After(0, func(ctx context.Context) error {\n",
			"go func() {\nctx := context.Background()\nfor parsers.Load() < 4 { time.Sleep(time.Millisecond) }\n"+code+"\napp.Exit()\n}()\n",
		)
		put(action+"\t\tapp.Exit()\n\t\treturn nil\n\t})\n", "")
		whole = strings.Replace(whole, "Count: 4, Needs", "RestartDelay: 1, RestartMaxDelay: 1, Count: 4, Needs", 1)
	case strings.Contains(code, "app.Hook"):
		put(run, code+"\tfmt.Println(\"once\")\n"+run)
	case strings.Contains(code, "app.Watch"):
		parser("")
		put(run, "app.RegisterWorker(\"parser\", parser, nil)\n"+run)
		put(action, code+"\n_ = err\n")
	case strings.Contains(code, "dashboard.Handler"):
		put(action, code+"\n"+`r, err := http.Get(server.URL + "/api/stats")
			if err != nil { return err }
			fmt.Println(r.Status)
			r.Body.Close()
			http.DefaultClient.CloseIdleConnections()
		`)
	case strings.Contains(code, "sockets.Listen"):
		put(run, code+"if err != nil {\nlog.Fatal(err)\n}\n"+run)
		put(action, `r, err := http.Get("http://" + sockets.Addr(app, "web").String())
			if err != nil { return err }
			fmt.Println(r.Status)
			r.Body.Close()
			http.DefaultClient.CloseIdleConnections()
		`)
	case strings.Contains(code, "app.Publish"):
		put(run, code+"if err != nil {\nlog.Fatal(err)\n}\n"+run)
		put(action, `fmt.Println(multiprolab.Do[float64](ctx, app, "price", 1))
		`)
	case strings.Contains(code, "app.Start"):
		code = strings.Replace(code, "go func() {", "ended := make(chan struct{})\ngo func() {\ndefer close(ended)", 1)
		put(run, "ctx := context.Background()\n{\n"+code+"\n<-ended\nfmt.Println(app.Cause())\n}\n")
	case strings.Contains(code, "InProcess"):
		put(made, code)
		put(
			action,
			action+"\t\tpid, err := multiprolab.Do[int](ctx, app, \"pid\", 0)\n\t\tfmt.Println(pid == os.Getpid() && err == nil)\n",
		)
		put(
			handler,
			"multiprolab.HandleTask(w, \"pid\", func(context.Context, int) (int, error) { return os.Getpid(), nil })\n"+handler,
		)
	}
	var imports strings.Builder
	body := regexp.MustCompile(`(?s)^package main\n+import \(.*?\n\)`).ReplaceAllString(whole, "")
	for _, path := range []string{
		"context", "errors", "fmt", "iter", "log", "net/http", "net/http/httptest", "os", "slices", "strings", "sync/atomic", "time",
		module, module + "/dashboard", module + "/prefork", module + "/sockets",
	} {
		if regexp.MustCompile(`\b` + filepath.Base(path) + `\.`).MatchString(body) {
			fmt.Fprintf(&imports, "\t%q\n", path)
		}
	}
	return "(\n" + imports.String() + ")\n" + strings.Replace(body, "func main()", "func Main()", 1)
}

// Every Go block of the README is known here, is compiled, and does what it claims: the complete
// program as it is, any other one in that program at the place that the README names. They are
// packages of one program, which is linked once.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	require.Len(t, blocks, len(samples), "a sample was added or taken away: see samples")

	root, err := os.Getwd()
	require.NoError(t, err)
	const place = "testdata/readme" // of the program, which is there for this build only: see go help build, -overlay
	dir := t.TempDir()
	var overlay struct{ Replace map[string]string }
	overlay.Replace = map[string]string{}
	write := func(name, content string) {
		file := filepath.Join(dir, strings.ReplaceAll(name, "/", "-"))
		require.NoError(t, os.WriteFile(file, []byte(content), 0o644))
		overlay.Replace[filepath.Join(root, place, name)] = file
	}
	var imports, cases string
	names := map[string]sample{}
	for i, b := range blocks {
		known := ""
		for first := range samples {
			if strings.HasPrefix(b[1], first) {
				known = first
			}
		}
		require.NotEmpty(t, known, "no sample begins so:\n%s", b[1])
		s, name := samples[known], fmt.Sprintf("block%02d", i)
		names[name] = s
		imports += fmt.Sprintf("\t%q\n", "github.com/multiprolab/multiprolab/"+place+"/"+name)
		cases += fmt.Sprintf("\tcase %q:\n\t\t%s.Main()\n", name, name)
		write(name+"/block.go", "package "+name+"\n\nimport "+s.program(blocks[0][1], b[1]))
	}
	write(
		"main.go",
		"package main\n\nimport (\n\t\"os\"\n"+imports+")\n\nfunc main() {\n\tswitch os.Args[1] {\n"+cases+"\t}\n}\n",
	)
	exe, files := filepath.Join(dir, "readme.exe"), filepath.Join(dir, "overlay.json")
	text, err = json.Marshal(overlay)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(files, text, 0o644))
	// As packages of this module they share what go test has built.
	out, err := exec.Command("go", "build", "-ldflags=-w", "-overlay", files, "-o", exe, "./"+place).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for name, s := range names {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // a hang is a failure
			defer cancel()
			cmd := exec.CommandContext(ctx, exe, name)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			require.NoError(t, err, "%s\n%s", out, &stderr)
			require.Equal(t, s.want, string(out), "%s", &stderr)
		})
	}
}

// claims are the rows of the README's table "What happens when ...", by their first cell, and the
// tests that hold them.
var claims = map[string]string{
	"a worker dies: a panic, `os.Exit`, a crash in C, `kill -9`": "TestA01_DeathDuringTask TestA01_DeathDuringCall TestA01_SignalDuringTask TestA02_KilledFromOutside TestA04_ManyDeathsWithRetry TestX1_DeadLetterListsEveryExit",
	"messages are on their way to a worker that dies":            "TestMessagesSurviveTheirReceiver TestPoisonousMessage TestDeadLettersHaveBodies",
	"what is a worker at that spins, leaks or is slow?":          "TestDump TestProfile TestProfile_SlowWriter",
	"what did main do before it went wrong?":                     "TestRecordOfARealRunIsReplayed TestRecordFile TestWatchdog",
	"a worker hangs, `for {}`":                                   "TestB01_DeadlineStopsLoop TestB11_WholeTreeAtDeadline TestHang_HandlerTimeout TestHang_Silent",
	"a worker dies again and again":                              "TestRestartPauses TestRestartJitter TestRestartCauses TestA09_CrashLoop TestGrid TestRestartForEver",
	"workers depend on each other":                               "TestNeedsStart TestNeedsEnd TestGroupAllForOneOrder TestGroupRestForOneOfPools",
	"connections come while workers are replaced, or are dead":   "TestRestartBehindOnePort TestConnectionWaitsForReplacement",
	"its replacement takes long to set up":                       "TestSpareTakesThePlace TestKilledWorkersHaveSpares",
	"new configuration":                                          "TestReload_UnderLoad TestReload_SIGHUP TestRestartForwardsWhatWaits",
	"new code":                                                   "TestRestartRunsTheCodeOfMain TestUpgrade TestUpgradeThatFails TestUpgradeHandsOverTasks",
	"a worker takes too much memory":                             "TestX2_MemoryLimit TestG02_RecycleAboveMemory",
	"the machine, or the container, has no memory left":          "TestKernelTakesWorkersAndNotMain TestDeathByTheKernelIsKnown TestSetup_OOMScore",
	"a worker logs with `log/slog`":                              "TestWorkerLogsArriveWhole TestLastRecordsOfADeadWorker",
	"a worker prints":                                            "TestE01_PrintsReachConfigStdout TestE01_PrintsReachMainsStdout TestE01_PrintsPastGo",
	"a worker writes garbage on the wire":                        "TestHostileWorkers TestFlood",
	"main panics, or is killed with SIGKILL":                     "TestD01_MainDies TestKillMain TestKillMainLeavesSessions TestSetup_PIDNamespace",
	"Ctrl-C":                                                     "TestD02_CtrlC TestD02_SecondCtrlC TestX3_FinishRunning",
	"a message cannot be encoded, decoded, or has no receiver":   "TestC05_BodiesThatDoNotEncode TestC07_BodiesThatDoNotDecode TestUnknownReceiversAndTypes",
	"the queue or an inbox is full":                              "TestF06_QueueLimit TestBackPressure",
}

// Each row of the README's table is held by tests that exist.
func TestReadmeClaimsHaveTests(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(text), "## What happens when ...\n\n| | |\n|---|---|\n")
	require.True(t, ok)
	table, _, _ = strings.Cut(table, "\n\n")
	var rows []string
	for row := range strings.SplitSeq(table, "\n") {
		first, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
		require.Contains(t, claims, first, "no test is known for this row")
		rows = append(rows, first)
	}
	require.Len(t, rows, len(claims), "a row has gone")
	var tests strings.Builder
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	for _, file := range files {
		code, err := os.ReadFile(file)
		require.NoError(t, err)
		tests.Write(code)
	}
	for row, names := range claims {
		for name := range strings.FieldsSeq(names) {
			require.Contains(t, tests.String(), "\nfunc "+name+"(t *testing.T)", "the row %q", row)
		}
	}
}
