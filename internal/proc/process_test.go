package proc_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// newSpawner returns a Spawner that the test's end closes, after the processes.
func newSpawner(t *testing.T) *proc.Spawner {
	s := proc.NewSpawner()
	t.Cleanup(s.Close)
	return s
}

// start starts a child, and ends it with the test.
func start(t *testing.T, s *proc.Spawner, spec *proc.Spec) *proc.Process {
	t.Helper()
	if spec.Inherited == nil {
		spec.Inherited = childEnv()
	}
	p, err := s.Start(spec)
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		wait(t, p)
		p.Close()
	})
	require.NoError(t, p.Out.SetReadDeadline(time.Now().Add(limit)))
	require.NoError(t, p.Err.SetReadDeadline(time.Now().Add(limit)))
	return p
}

// wait waits for the end of a process.
func wait(t *testing.T, p *proc.Process) proc.Status {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(limit):
		t.Fatalf("process %d has not ended", p.Pid)
	}
	return p.Status()
}

// line reads one line of what the child writes on the wire.
func line(t *testing.T, p *proc.Process) string {
	t.Helper()
	text, err := bufio.NewReader(p.Out).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(text)
}

func TestExitCode(t *testing.T) {
	s := newSpawner(t)
	for _, code := range []int{0, 1, 3, 200} {
		p := start(t, s, &proc.Spec{Role: role("exit"), Inherited: childEnv(fmt.Sprint("CODE=", code))})
		st := wait(t, p)
		require.Equal(t, code, st.ExitCode)
		require.Empty(t, st.Signal)
		require.False(t, st.CoreDump)
		require.NotZero(t, st.User+st.System)
	}
}

func TestEcho(t *testing.T) {
	p := start(t, newSpawner(t), &proc.Spec{Role: role("echo")})
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // much more than a pipe holds
	go func() {                                             // ends when the child has read all, or with the pipe
		_, _ = p.In.Write(want)
		p.In.Close()
	}()
	got, err := io.ReadAll(p.Out)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "%d bytes of %d", len(got), len(want))
	require.Equal(t, 0, wait(t, p).ExitCode)
}

func TestPipesCanBeInterrupted(t *testing.T) {
	p := start(t, newSpawner(t), &proc.Spec{Role: role("echo")})

	require.NoError(t, p.Out.SetReadDeadline(time.Now().Add(-time.Second)))
	_, err := p.Out.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)

	require.NoError(t, p.Out.SetReadDeadline(time.Time{}))
	errs := make(chan error)
	go func() { // ends with the read, which Close interrupts
		_, err := p.Out.Read(make([]byte, 1))
		errs <- err
	}()
	p.Close()
	require.ErrorIs(t, <-errs, os.ErrClosed)
	p.Close()
	require.Equal(t, 0, wait(t, p).ExitCode, "the child reads the end of file")
}

func TestPrintGoesToStdout(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	p := start(t, newSpawner(t), &proc.Spec{Role: role("print"), Stdout: w, Inherited: childEnv("TEXT=hello")})
	w.Close()
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "hello\n", string(out))
	require.Equal(t, "printed", line(t, p))
}

func TestPrintGoesToOwnStdout(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	old := os.Stdout
	os.Stdout = w
	defer func() { os.Stdout = old }()
	s := newSpawner(t)
	p := start(t, s, &proc.Spec{Role: role("print"), Inherited: childEnv("TEXT=hello")})
	w.Close()
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "hello\n", string(out))
	require.Equal(t, 0, wait(t, p).ExitCode)

	// os.Stdout is closed now.
	p = start(t, s, &proc.Spec{Role: role("print"), Inherited: childEnv("TEXT=hello")})
	require.Equal(t, "printed", line(t, p))
	require.Equal(t, 0, wait(t, p).ExitCode)
}

func TestStderr(t *testing.T) {
	p := start(t, newSpawner(t), &proc.Spec{Role: role("stderr")})
	text, err := io.ReadAll(p.Err)
	require.NoError(t, err)
	require.Equal(t, "last words\n", string(text))
}

// getReport starts a child that reports on itself.
func getReport(t *testing.T, s *proc.Spawner, spec *proc.Spec) (r report) {
	t.Helper()
	spec.Role = role("report")
	p := start(t, s, spec)
	require.NoError(t, json.Unmarshal([]byte(line(t, p)), &r))
	return r
}

func TestWorkerFinds(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	env := append(
		[]string{"TWICE=first", proc.MarkerName + "=" + proc.MarkerText(role("exit"), 1)},
		childEnv("TWICE=last")...)
	t.Setenv(proc.MarkerName, "inherited")
	r := getReport(t, newSpawner(t), &proc.Spec{Dir: dir, Inherited: append(env, proc.MarkerName+"=")})

	require.Equal(t, role("report"), r.Role)
	require.Equal(t, os.Args, r.Args)
	require.Equal(t, dir, r.Dir)
	for _, entry := range r.Environ {
		require.False(t, strings.HasPrefix(entry, proc.MarkerName+"="), entry)
		require.NotEqual(t, "TWICE=first", entry)
	}
	require.Contains(t, r.Environ, "TWICE=last")
	require.LessOrEqual(t, r.Markers, 1)
	require.Zero(t, r.StdinBytes)
	require.Empty(t, r.StdinErr)
	require.Empty(t, r.StdoutErr)
	require.True(t, r.OnMain)
	require.True(t, r.Released)
	require.True(t, r.IsTestBinary)
	require.False(t, r.TestAllowed)
	id, err := proc.Identity()
	require.NoError(t, err)
	require.NotEmpty(t, id)
	require.Equal(t, id, r.Identity)
}

func TestInheritedMarkerDoesNotWin(t *testing.T) {
	t.Setenv(proc.MarkerName, proc.MarkerText(role("exit"), os.Getpid()))
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	p, err := newSpawner(t).Start(&proc.Spec{Role: role("stderr")}) // Env is nil
	require.NoError(t, err)
	defer p.Close()
	text, err := io.ReadAll(p.Err)
	require.NoError(t, err)
	require.Equal(t, "last words\n", string(text))
	wait(t, p)
}

func TestMain_isNoWorker(t *testing.T) {
	require.Nil(t, proc.Current())
	r, w := proc.Wire()
	require.Nil(t, r)
	require.Nil(t, w)
	proc.ReleaseMainThread()
	require.False(t, proc.MainThreadReleased())
	require.True(t, proc.IsTestBinary())
	require.True(t, proc.TestBinaryAllowed())
}

// TestBadMarker starts this binary by hand: it must neither run the tests nor become a worker.
func TestBadMarker(t *testing.T) {
	good := proc.MarkerText(role("exit"), os.Getpid())
	for _, tt := range []struct {
		name, marker string
		code         int
	}{
		{"garbage", "yes", proc.ExitTakeover},
		{"empty object", "{}", proc.ExitTakeover},
		{"no hex", good[:2] + "x" + good[3:], proc.ExitTakeover},
		{"cut", good[:len(good)/2], proc.ExitTakeover},
		{"followed", good + good, proc.ExitTakeover},
		{"other version", "1" + good[1:], proc.ExitTakeover},
		{"no path", proc.MarkerText(proc.Role{Life: 1, Depth: 1, Cookie: "c"}, os.Getpid()), proc.ExitTakeover},
		{"no depth", proc.MarkerText(proc.Role{Path: []string{"exit"}, Life: 1, Cookie: "c"}, os.Getpid()), proc.ExitTakeover},
		{"no cookie", proc.MarkerText(proc.Role{Path: []string{"exit"}, Life: 1, Depth: 1}, os.Getpid()), proc.ExitTakeover},
		{"no parent", proc.MarkerText(role("exit"), 0), proc.ExitTakeover},
	} {
		t.Run(tt.name, func(t *testing.T) { checkRefused(t, tt.marker, tt.code) })
	}
}

// checkRefused checks that a process with this marker exits with the code and one line.
func checkRefused(t *testing.T, marker string, code int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = childEnv(proc.MarkerName + "=" + marker)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Run(), &exit)
	require.Equal(t, code, exit.ExitCode(), "%s", &stderr)
	require.True(t, strings.HasPrefix(stderr.String(), "multiprolab: "), "%s", &stderr)
	require.Equal(t, 1, strings.Count(stderr.String(), "\n"), "%s", &stderr)
}

func TestStartErrors(t *testing.T) {
	s := newSpawner(t)
	wait(t, start(t, s, &proc.Spec{Role: role("exit")})) // opens what the first start opens for good
	before := openFDs()
	missing := filepath.Join(t.TempDir(), "missing")
	for _, tt := range []struct {
		name string
		spec proc.Spec
		is   error
		text string
	}{
		{"no program", proc.Spec{Role: role("exit"), Path: missing}, fs.ErrNotExist, missing},
		{"no directory", proc.Spec{Role: role("exit"), Dir: missing}, fs.ErrNotExist, "working directory: "},
		{"no role", proc.Spec{}, nil, "no Path"},
		{"bad index", proc.Spec{Role: proc.Role{Path: []string{"exit"}, Index: -1, Life: 1, Depth: 1, Cookie: "c"}}, nil, "Index"},
		{"bad root", proc.Spec{Role: proc.Role{Path: []string{"exit"}, Root: 1, Life: 1, Depth: 1, Cookie: "c"}}, nil, "Root"},
		{"bad life", proc.Spec{Role: proc.Role{Path: []string{"exit"}, Depth: 1, Cookie: "c"}}, nil, "Life"},
		{"bad environment", proc.Spec{Role: role("exit"), Inherited: []string{"A=\x00"}}, nil, "invalid argument"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := s.Start(&tt.spec)
			require.Error(t, err)
			if tt.is != nil {
				require.ErrorIs(t, err, tt.is)
			}
			require.Contains(t, err.Error(), tt.text)
		})
	}
	require.Equal(t, len(before), len(openFDs()))

	s.Close()
	_, err := s.Start(&proc.Spec{Role: role("exit")})
	require.ErrorIs(t, err, os.ErrClosed)
	s.Close()
}

func TestKill(t *testing.T) {
	p := start(t, newSpawner(t), &proc.Spec{Role: role("hang")})
	line(t, p)
	require.Equal(t, proc.Status{}, p.Status())
	require.NoError(t, p.Kill())
	st := wait(t, p)
	require.NotZero(t, st.ExitCode)
	require.NoError(t, p.Kill(), "already gone")
	require.ErrorIs(t, p.Terminate(), os.ErrProcessDone)
	require.True(t, errors.Is(p.Quit(), os.ErrProcessDone) || errors.Is(p.Quit(), errors.ErrUnsupported))
}

// TestKillRace has signals and the reap meet. What it shows, the race detector and a stray SIGKILL
// would tell.
func TestKillRace(t *testing.T) {
	s := newSpawner(t)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			p, err := s.Start(&proc.Spec{Role: role("exit"), Inherited: childEnv()})
			if err != nil {
				t.Error(err)
				return
			}
			for {
				if err := p.Kill(); err != nil {
					t.Error(err)
				}
				select {
				case <-p.Done():
					p.Close()
					return
				default:
				}
			}
		})
	}
	wg.Wait()
}
