package examples_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	// what the binaries are built of: a cached result of this test ends with a change of it
	_ "github.com/multiprolab/multiprolab"
)

// bound is how long anything here may take. It is no measure of speed: it turns a hang into a
// failure.
const bound = 3 * time.Minute

// runMark is the name of an environment variable that tells the processes of one run from all
// others.
const runMark = "EXAMPLES_TEST_RUN"

var examples = []string{"001-multiprocess", "002-exit", "003-messages", "004-taskqueue", "005-blocking", "survey", "tour"}

// binaries is the directory of the examples' binaries.
var binaries string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "examples")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if err := build(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		binaries = dir
		return m.Run()
	}())
}

// build builds every example, with the race detector if this test has it.
func build(dir string) error {
	args := []string{"build", "-ldflags=-w", "-o", dir + string(filepath.Separator)}
	if info, ok := debug.ReadBuildInfo(); ok &&
		slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	for _, name := range examples {
		dir, what, workspace := ".", "./"+name, os.Getenv("GOWORK")
		if name == "survey" { // a module of its own, which the workspace need not know
			dir, what, workspace = name, ".", "off"
		}
		cmd := exec.Command("go", append(slices.Clone(args), what)...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK="+workspace)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("in %s: %v: %w\n%s", dir, cmd, err, out)
		}
	}
	return nil
}

// process is one run of an example: its main process.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	mark    string        // in the environment of each process of the run
	exited  chan struct{} // closed when main has been waited for
	out     *output
	err     *output
	waitErr error
}

// output is what came through a pipe. The workers hold its other end too.
type output struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	grown chan struct{} // capacity 1
	end   chan struct{} // closed when nobody holds the other end any more
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Write(p)
	select {
	case o.grown <- struct{}{}:
	default:
	}
	return len(p), nil
}

// pipe returns the end for the example of a pipe that is read to its end.
func pipe(t *testing.T) (*os.File, *output) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	o := &output{grown: make(chan struct{}, 1), end: make(chan struct{})}
	go func() { // ends when all processes of the run have
		defer close(o.end)
		defer r.Close()
		_, _ = io.Copy(o, r)
	}()
	return w, o
}

// start starts an example.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	// A cached result ends with a change of these files, too: the go command notes what a test opens.
	_ = filepath.WalkDir(".", func(string, fs.DirEntry, error) error { return nil })
	p := &process{
		t:      t,
		mark:   runMark + "=" + t.Name() + strconv.FormatInt(time.Now().UnixNano(), 36),
		exited: make(chan struct{}),
	}
	p.cmd = exec.Command(filepath.Join(binaries, name), args...)
	p.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", p.mark)
	var stdout, stderr *os.File
	stdout, p.out = pipe(t)
	stderr, p.err = pipe(t)
	p.cmd.Stdout, p.cmd.Stderr = stdout, stderr
	err := p.cmd.Start()
	stdout.Close() // the processes of the run have the only ones left
	stderr.Close()
	require.NoError(t, err)
	go func() { // ends with the process
		defer close(p.exited)
		p.waitErr = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // has no effect unless the test has failed before the end
		<-p.exited
	})
	return p
}

// await waits until the output satisfies the condition.
func (p *process) await(o *output, what string, condition func(string) bool) {
	p.t.Helper()
	timeout := time.After(bound)
	for !condition(o.String()) {
		select {
		case <-o.grown:
		case <-o.end:
			if !condition(o.String()) {
				p.t.Fatalf("the program ended before it printed %s\nstdout:\n%s\nstderr:\n%s", what, p.out, p.err)
			}
		case <-timeout:
			p.t.Fatalf("the program does not print %s\nstdout:\n%s\nstderr:\n%s", what, p.out, p.err)
		}
	}
}

// awaitLines waits until each of the regular expressions has matched a line.
func (p *process) awaitLines(lines ...string) {
	p.t.Helper()
	for _, line := range lines {
		p.await(p.out, "a line like "+line, regexp.MustCompile("(?m)^"+line+"$").MatchString)
	}
}

// interrupt does what Ctrl-C does.
func (p *process) interrupt() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(os.Interrupt))
}

// wait waits for the end of the run, checks that nothing of it is left, and returns the exit code.
func (p *process) wait() int {
	p.t.Helper()
	timeout := time.After(bound)
	select {
	case <-p.exited:
	case <-timeout:
		p.t.Fatalf("the program does not end\nstdout:\n%s\nstderr:\n%s", p.out, p.err)
	}
	require.Empty(p.t, processesWith(p.t, p.mark), "processes are left after the end of main")
	for _, o := range []*output{p.out, p.err} {
		select {
		case <-o.end:
		case <-timeout:
			p.t.Fatalf("a process that is left holds the output open\nstdout:\n%s\nstderr:\n%s", p.out, p.err)
		}
	}
	if exit := (*exec.ExitError)(nil); p.waitErr != nil && !errors.As(p.waitErr, &exit) {
		p.t.Fatal(p.waitErr)
	}
	return p.cmd.ProcessState.ExitCode()
}

// succeed waits for the end of the run, which must be a clean one, and returns what it printed.
func (p *process) succeed() string {
	p.t.Helper()
	code := p.wait()
	require.Zero(p.t, code, "exit code\nstdout:\n%s\nstderr:\n%s", p.out, p.err)
	return p.out.String()
}

// ctrlC is the status with which a program of the command line ends after Ctrl-C.
const ctrlC = 130

// endsWith waits for the end of a run, which must have a status, and returns what it printed.
func (p *process) endsWith(status int) string {
	p.t.Helper()
	require.Equal(p.t, status, p.wait(), "exit code\nstdout:\n%s\nstderr:\n%s", p.out, p.err)
	return p.out.String()
}

// succeedQuietly is succeed for an example that prints nothing on stderr.
func (p *process) succeedQuietly() string { return p.quiet(p.succeed()) }

// quiet checks that nothing was printed on stderr.
func (p *process) quiet(out string) string {
	p.t.Helper()
	require.Empty(p.t, p.err.String(), "stderr")
	return out
}

// processesWith returns the processes that have a variable in their environment. It can look only
// where there is a /proc; elsewhere the end of the output stands for it.
func processesWith(t *testing.T, variable string) []string {
	t.Helper()
	if runtime.GOOS != "linux" {
		return nil
	}
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var found []string
	for _, file := range files {
		env, _ := os.ReadFile(file) // it fails for those that have ended since, and for those of others
		if slices.Contains(strings.Split(string(env), "\x00"), variable) {
			found = append(found, filepath.Dir(file))
		}
	}
	return found
}

func skipWithoutInterrupt(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("a single process cannot be sent an interrupt here")
	}
}

var speaker = regexp.MustCompile(`(?m)^(\S+) \(pid (\d+)\): `)

// pids returns the pid under which each name spoke. Each name has one, no two have the same, and
// that of main is right.
func (p *process) pids(names ...string) map[string]string {
	p.t.Helper()
	pids := map[string]string{}
	for _, m := range speaker.FindAllStringSubmatch(p.out.String(), -1) {
		name, pid := m[1], m[2]
		if old, ok := pids[name]; ok {
			require.Equal(p.t, old, pid, "pids of %s", name)
		}
		pids[name] = pid
	}
	require.Equal(p.t, strconv.Itoa(p.cmd.Process.Pid), pids["main"])
	owner := map[string]string{}
	for name, pid := range pids {
		require.Contains(p.t, names, name)
		require.Empty(p.t, owner[pid], "%s has the pid of another", name)
		owner[pid] = name
	}
	require.Len(p.t, pids, len(names), "of %v only some spoke: %v", names, pids)
	return pids
}

// requireLast checks the last line, which main prints when all workers have ended.
func requireLast(t *testing.T, out, line string) {
	t.Helper()
	lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
	require.Regexp(t, "^"+line+"$", lines[len(lines)-1])
}

const (
	pid      = ` \(pid \d+\): `
	mainEnds = `main` + pid + `every worker has ended, and so do I`
)

func TestMultiprocess(t *testing.T) {
	names := []string{"main", "alice/0", "bob/0"}
	t.Run("for", func(t *testing.T) {
		p := start(t, "001-multiprocess", "-for", "100ms")
		out := p.succeedQuietly()
		p.pids(names...)
		require.Regexp(t, `(?m)^main`+pid+`here I am$`, out)
		for _, name := range names[1:] {
			require.Regexp(t, `(?m)^`+name+pid+`ends after turn \d+$`, out)
		}
		requireLast(t, out, mainEnds)
	})
	t.Run("interrupt", func(t *testing.T) {
		skipWithoutInterrupt(t)
		p := start(t, "001-multiprocess")
		p.awaitLines(`main`+pid+`here I am`, `alice/0`+pid+`here I am, turn 2`, `bob/0`+pid+`here I am, turn 2`)
		if runtime.GOOS == "linux" {
			require.Len(t, processesWith(t, p.mark), 3, "the check for processes that are left sees those of a run")
		}
		p.interrupt()
		out := p.quiet(p.endsWith(ctrlC))
		p.pids(names...)
		requireLast(t, out, mainEnds)
	})
}

func TestExit(t *testing.T) {
	names := []string{"main", "alice/0", "bob/0"}
	t.Run("by main", func(t *testing.T) {
		p := start(t, "002-exit", "-for", "100ms")
		out := p.succeedQuietly()
		p.pids(names...)
		require.Equal(t, 1, strings.Count(out, "calls Exit\n"))
		require.Regexp(t, `(?m)^main`+pid+`calls Exit\n(.*\n)*alice/0`+pid+`ends$`, out)
		require.Regexp(t, `(?m)^main`+pid+`calls Exit\n(.*\n)*bob/0`+pid+`ends$`, out)
		requireLast(t, out, mainEnds)
	})
	t.Run("by worker", func(t *testing.T) { // alice may do it before bob is there
		p := start(t, "002-exit", "-by", "worker", "-for", "500ms")
		out := p.succeedQuietly()
		require.Equal(t, 1, strings.Count(out, "calls Exit\n"))
		require.Regexp(t, `(?m)^alice/0`+pid+`calls Exit\n(.*\n)*alice/0`+pid+`ends$`, out)
		requireLast(t, out, mainEnds)
	})
	t.Run("interrupt", func(t *testing.T) {
		skipWithoutInterrupt(t)
		p := start(t, "002-exit", "-for", "24h")
		for _, name := range names {
			p.awaitLines(name + pid + `at work`)
		}
		p.interrupt()
		out := p.quiet(p.endsWith(ctrlC))
		p.pids(names...)
		require.NotContains(t, out, "calls Exit")
		requireLast(t, out, mainEnds)
	})
	t.Run("wrong flag", func(t *testing.T) {
		p := start(t, "002-exit", "-by", "nobody")
		require.Equal(t, 1, p.wait())
		require.Empty(t, p.out.String())
		require.Contains(t, p.err.String(), `-by is "nobody"`)
	})
}

func TestMessages(t *testing.T) {
	names := []string{"main", "alice/0", "bob/0"}
	t.Run("for", func(t *testing.T) {
		// a message on its way at the end is reported on stderr
		out := start(t, "003-messages", "-for", "100ms").succeed()
		requireLast(t, out, mainEnds)
	})
	t.Run("interrupt", func(t *testing.T) {
		skipWithoutInterrupt(t)
		p := start(t, "003-messages")
		for _, receiver := range names {
			for _, sender := range names {
				if sender != receiver {
					p.awaitLines(receiver+pid+`got greeting 1 from `+sender+` \(pid \d+\)`,
						receiver+pid+`got greeting 2 from `+sender+` \(pid \d+\)`)
				}
			}
		}
		p.interrupt()
		out := p.endsWith(ctrlC)
		pids := p.pids(names...)
		last := map[string]int{} // by sender and receiver
		for _, m := range regexp.MustCompile(`(?m)^(\S+) \(pid \d+\): got greeting (\d+) from (\S+) \(pid (\d+)\)$`).FindAllStringSubmatch(out, -1) {
			receiver, sender := m[1], m[3]
			require.Equal(t, pids[sender], m[4], "the pid that %s sends", sender)
			number, err := strconv.Atoi(m[2])
			require.NoError(t, err)
			require.Equal(
				t,
				last[sender+receiver]+1,
				number,
				"the greetings of %s to %s come in order",
				sender,
				receiver,
			)
			last[sender+receiver] = number
		}
		requireLast(t, out, mainEnds)
	})
}

func TestTaskQueue(t *testing.T) {
	names := []string{"main", "multiplier/0", "multiplier/1", "multiplier/2", "puller/0"}
	// check checks that main got every product, in order and right, and that a worker multiplied
	// each pair once.
	check := func(t *testing.T, out string) int {
		t.Helper()
		multiplied := map[string]int{}
		for _, m := range regexp.MustCompile(`(?m)^\S+/\d`+pid+`multiplies (\d+) by (\d+)$`).FindAllStringSubmatch(out, -1) {
			multiplied[m[1]+" x "+m[2]]++
		}
		n := 0
		for _, m := range regexp.MustCompile(`(?m)^main`+pid+`(\d+ x \d+) is (\d+)$`).FindAllStringSubmatch(out, -1) {
			n++
			require.Equal(t, fmt.Sprintf("%d x %d", n, n+1), m[1])
			require.Equal(t, strconv.Itoa(n*(n+1)), m[2])
			require.Equal(t, 1, multiplied[m[1]], "how often was %s multiplied", m[1])
		}
		requireLast(t, out, mainEnds)
		return n
	}
	t.Run("for", func(t *testing.T) {
		out := start(t, "004-taskqueue", "-for", "100ms").succeedQuietly()
		require.GreaterOrEqual(t, check(t, out), 8, "products")
	})
	t.Run("interrupt", func(t *testing.T) {
		skipWithoutInterrupt(t)
		p := start(t, "004-taskqueue")
		for _, name := range names[1:] {
			p.awaitLines(name + pid + `multiplies \d+ by \d+`)
		}
		p.awaitLines(`main`+pid+`9 x 10 is 90`, `\S+`+pid+`multiplies 17 by 18`) // in the middle of a batch
		p.interrupt()
		out := p.quiet(p.endsWith(ctrlC))
		p.pids(names...)
		check(t, out)
	})
}

func TestBlocking(t *testing.T) {
	t.Run("for", func(t *testing.T) {
		out := start(t, "005-blocking", "-for", "100ms").succeed() // as in TestMessages
		require.Regexp(t, `(?m)^main`+pid+`sends tick 1 to every worker$`, out)
		requireLast(t, out, mainEnds)
	})
	t.Run("interrupt", func(t *testing.T) {
		skipWithoutInterrupt(t)
		p := start(t, "005-blocking")
		p.awaitLines(`sleeper/0`+pid+`woken by tick 1 after .*`, `sleeper/0`+pid+`woken by tick 2 after .*`)
		searcher := regexp.MustCompile(
			`(?m)^searcher/0` + pid + `got tick \d+ after \S+, between turns (\d+) and \d+: (\d+) primes up to (\d+)$`,
		)
		p.await(p.out, "ticks of the searcher with turns between them", func(out string) bool {
			turns := map[string]bool{}
			for _, m := range searcher.FindAllStringSubmatch(out, -1) {
				turns[m[1]] = true
			}
			return len(turns) > 1
		})
		p.interrupt()
		out := p.endsWith(ctrlC)
		p.pids("main", "sleeper/0", "searcher/0")
		for _, m := range searcher.FindAllStringSubmatch(out, -1) {
			turns, err := strconv.Atoi(m[1])
			require.NoError(t, err)
			require.Equal(t, strconv.Itoa(100*turns+1), m[3], "each turn examines 100 numbers")
			if turns > 0 && turns <= 10000 {
				require.Equal(t, strconv.Itoa(primesTo(100*turns+1)), m[2])
			}
		}
		requireLast(t, out, mainEnds)
	})
}

// primesTo counts the primes up to n with a sieve.
func primesTo(n int) int {
	composite, count := make([]bool, n+1), 0
	for i := 2; i <= n; i++ {
		if composite[i] {
			continue
		}
		count++
		for j := 2 * i; j <= n; j += i {
			composite[j] = true
		}
	}
	return count
}

// tree is a source tree for the survey.
var tree = map[string]string{
	"a.go": `package a

import (
	"fmt"
	str "strings"
	"fmt"
)

const A, B = 1, 2

var (
	c = 3
	_ = str.ToUpper
)

type T struct{ x, y int }

type (
	U = T
	V interface{ M() }
)

// M is not counted as a part of its comment's lines.
func (t *T) M() {
	fmt.Println(t.x)
}

func (V2[P]) N() {}

type V2[P any] []P

func short() {}
`,
	"empty.go":    "package empty",
	"zero/y.go":   "package zero\n\nimport \"fmt\"\n\n//line elsewhere.go:1000\nfunc Tie() {\n\tfmt.Println()\n}\n",
	"sub/b.go":    "package b\n\nimport _ \"unsafe\"\nimport \"C\"\n\nfunc Long() {\n\tfor {\n\t\tfunc() {}()\n\t}\n}\n",
	"sub/bad.go":  "package b\n\nfunc (\n\nfunc x() {}\n",
	"sub/nil.go":  "",
	"dir.go/c.go": "package c\n\nvar x, y int\n",
	"notes.txt":   "package notes\n",
	"go":          "package nothing\n",
}

const treeTables = `
   7  files
  59  lines
   3  functions
   2  methods
   4  types
   2  constants
   4  variables
   2  files that do not parse
   0  not readable

longest functions, in lines:
  5  sub/b.go:6  Long
  3  a.go:24  (*T).M
  3  zero/y.go:6  Tie

most used imports, in files:
  2  fmt
  1  C
  1  strings

do not parse:
  sub/bad.go: 5:6: expected '(', found x
  sub/nil.go: 1:1: expected 'package', found 'EOF'

files of each worker process:
`

var (
	share  = regexp.MustCompile(`(?m)^ +(\d+)  (surveyor/\d+) \(pid (\d+)\)$`)
	victim = regexp.MustCompile(`(?m)^  (surveyor/\d+) \(pid (\d+)\)$`)
)

// checkShares checks that the workers examined all the files between them, and returns their pids.
func checkShares(t *testing.T, p *process, out string, files int) []string {
	t.Helper()
	sum := 0
	var pids []string
	for _, m := range share.FindAllStringSubmatch(out, -1) {
		n, err := strconv.Atoi(m[1])
		require.NoError(t, err)
		sum += n
		require.NotContains(t, pids, m[3])
		pids = append(pids, m[3])
	}
	require.Equal(t, files, sum)
	require.NotContains(t, pids, strconv.Itoa(p.cmd.Process.Pid))
	return pids
}

func TestSurvey(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	for name, text := range tree {
		file := filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	if runtime.GOOS != "windows" { // where only some users may
		require.NoError(t, os.Symlink(filepath.Join(root, "a.go"), filepath.Join(root, "link.go")))
		require.NoError(t, os.Symlink(root, filepath.Join(root, "sub", "loop")))
	}
	for name, flags := range map[string][]string{
		"default": nil,
		"verify":  {"-verify"},
		"kill":    {"-verify", "-kill", "3"},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, "survey", append(flags, "-workers", "2", "-top", "3", root)...)
			out := p.succeed()
			require.Contains(t, filepath.ToSlash(out), filepath.ToSlash(root)+"\n"+treeTables)
			checkShares(t, p, out, 7)
			require.Equal(
				t,
				slices.Contains(flags, "-verify"),
				regexp.MustCompile(`\nverified: this process alone, in \S+, found the same in each of 7 files, and the same totals\n`).
					MatchString(out),
				out,
			)
			require.Equal(t, slices.Contains(flags, "-kill"),
				strings.Contains(out, "\neach of the 7 files has exactly one result: none was lost\n"), out)
			if name != "kill" {
				require.Empty(t, p.err.String(), "stderr")
			}
		})
	}
}

func TestSurveyUnreadable(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	secret := filepath.Join(root, "secret.go")
	require.NoError(t, os.WriteFile(secret, []byte("package secret\n"), 0))
	if _, err := os.ReadFile(secret); err == nil {
		t.Skip("this user may read everything, or the platform has no such modes")
	}
	require.NoError(t, os.Mkdir(filepath.Join(root, "closed"), 0))
	require.NoError(t, os.WriteFile(filepath.Join(root, "open.go"), []byte("package open\n"), 0o644))
	p := start(t, "survey", "-verify", root)
	out := p.succeed()
	require.Contains(t, out, "  2  files\n")
	require.Contains(t, out, "  1  lines\n")
	require.Contains(t, out, "  2  not readable\n")
	require.Regexp(t, `(?m)^not readable:\n  closed: .*denied\n  secret.go: .*denied\n`, out)
}

func TestSurveyKill(t *testing.T) {
	p := start(t, "survey", "-kill", "3", "-verify", "-workers", "2", filepath.Join(goroot(t), "src", "net"))
	out := p.succeed()
	require.Contains(t, out, "\n3 workers were killed on the way:\n")
	total := regexp.MustCompile(`\neach of the (\d+) files has exactly one result: none was lost\n`).
		FindStringSubmatch(out)
	require.NotNil(t, total, out)
	files, err := strconv.Atoi(total[1])
	require.NoError(t, err)
	require.Greater(t, files, 100)
	require.Contains(t, out, "found the same in each of "+total[1]+" files, and the same totals\n")
	alive := checkShares(t, p, out, files)

	var killed []string
	for _, m := range victim.FindAllStringSubmatch(out, -1) {
		require.NotContains(t, killed, m[2], "killed twice")
		killed = append(killed, m[2])
		require.Contains(t, p.err.String(), fmt.Sprintf("killed %s (pid %s)\n", m[1], m[2]))
	}
	require.Len(t, killed, 3)
	survivors := slices.DeleteFunc(alive, func(pid string) bool { return slices.Contains(killed, pid) })
	require.NotEmpty(t, survivors, "the last files were examined by workers that were not killed")
}

// The survey shows itself while it works, and to the end.
func TestSurveyDashboard(t *testing.T) {
	skipWithoutInterrupt(t)
	p := start(t, "survey", "-dashboard", ":0") // the whole Go installation
	address := regexp.MustCompile(`(?m)^dashboard: (http://127\.0\.0\.1:\d+/)$`)
	p.await(p.err, "the address of the page", address.MatchString)
	resp, err := http.Get(address.FindStringSubmatch(p.err.String())[1] + "api/stats")
	require.NoError(t, err)
	defer resp.Body.Close()
	var stats struct{ Workers []struct{ Name string } }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&stats))
	require.Equal(t, "surveyor/0", stats.Workers[0].Name)
	for path, begins := range map[string]string{
		"debug/pprof/surveyor/0/goroutine?debug=1": "goroutine profile: ", "record": `{"record":"multiprolab"`,
	} {
		resp, err := http.Get(address.FindStringSubmatch(p.err.String())[1] + path)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, errors.Join(err, resp.Body.Close()))
		require.True(t, strings.HasPrefix(string(body), begins), "%s: %.200s", path, body)
	}
	p.interrupt()
	p.wait()
}

func TestSurveyInterrupt(t *testing.T) {
	skipWithoutInterrupt(t)
	p := start(t, "survey", "-kill", "20", "-workers", "1", "-verify") // the whole Go installation
	p.await(
		p.err,
		"that it has begun",
		func(stderr string) bool { return strings.Contains(stderr, "killed surveyor/0 (pid ") },
	)
	p.interrupt()
	require.Equal(t, ctrlC, p.wait())
	require.Regexp(t, `(?m)^survey: interrupted: .`, p.err.String())
	require.Empty(t, p.out.String())
}

func TestSurveyErrors(t *testing.T) {
	p := start(t, "survey", filepath.Join(t.TempDir(), "missing"))
	require.Equal(t, 1, p.wait())
	require.Regexp(t, `^survey: .*missing`, p.err.String())
	for _, args := range [][]string{{"-workers", "0"}, {"-kill", "-1"}, {"-top", "-1"}, {"one", "two"}} {
		p := start(t, "survey", args...)
		require.Equal(t, 2, p.wait(), "%v", args)
		require.Contains(t, p.err.String(), "usage: survey [flags] [directory]")
	}
}

func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// TestTour: all steps go as they say, and the page is there.
func TestTour(t *testing.T) {
	p := start(t, "tour", "-auto", "-addr", "127.0.0.1:0")
	require.Zero(t, p.wait(), "%s", p.err)
	out := p.out.String()
	require.Regexp(t, `^The page beside this tour is http://127\.0\.0\.1:\d+\n`, out)
	require.Len(t, regexp.MustCompile(`(?m)^\d+\. .*\n(?:.*\n)+?    -> .+$`).FindAllString(out, -1), 10, "%s", out)
	for _, said := range []string{
		`has called cook/2 \(pid \d+\)`,
		`while running task "crash" .*unlock of unlocked mutex`,
		`task "spin" ran past its timeout of 500ms on worker cook/\d \(pid \d+\), which was killed`,
		`memory limit of \d+ bytes .* while running task "hoard"`,
		`4 cooks were killed, 40 meals were cooked`,
		`\d+ cooks had a part in 200 meals`,
		`task "toast" failed in all of its 3 attempts: .*the toast is burnt`,
		`four new cooks, and no meal was lost`,
	} {
		require.Regexp(t, `(?m)^    -> .*`+said, out)
	}
}
