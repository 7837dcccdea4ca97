package proc_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// limit bounds every wait. It is generous, because nothing waits for it unless a test fails.
const limit = 20 * time.Second

// mainVar names the environment variable that makes this binary play a main process of its own,
// instead of testing.
const mainVar = "PROC_TEST_MAIN"

func TestMain(m *testing.M) {
	if role := proc.Current(); role != nil {
		<-proc.Guarded()
		child, ok := children[role.Path[0]]
		if !ok {
			fmt.Fprintf(os.Stderr, "no such child: %v\n", role)
			os.Exit(99)
		}
		child()
		os.Exit(0) // never to the tests: each would start processes that do the same
	}
	if name := os.Getenv(mainVar); name != "" {
		mains[name]()
		os.Exit(0)
	}
	proc.AllowTestBinary()
	goleak.VerifyTestMain(m)
}

// children are what a worker process of these tests does, by the first element of its role's path.
var children = map[string]func(){
	"exit": func() {
		code, _ := strconv.Atoi(os.Getenv("CODE"))
		os.Exit(code)
	},
	"echo": echo,
	"print": func() {
		fmt.Println(os.Getenv("TEXT"))
		_, w := proc.Wire()
		fmt.Fprintln(w, "printed")
	},
	"report": func() {
		_, w := proc.Wire()
		_ = json.NewEncoder(w).Encode(takeReport())
		echo()
	},
	"stderr": func() {
		fmt.Fprintln(os.Stderr, "last words")
	},
	"family":  family,
	"hang":    hang,
	"orphans": func() { announceSleep() }, // exits, the grandchild stays
	"orphans at the word": func() {
		announceSleep()
		r, _ := proc.Wire()
		_, _ = io.ReadAll(r)
		os.Exit(5)
	},
	"middle": func() {
		_, w := proc.Wire()
		middle(w)
	},
}

// mains are what this binary does as a main process of its own.
var mains = map[string]func(){}

func echo() {
	r, w := proc.Wire()
	_, _ = io.Copy(w, r)
}

// hang says that it is there, and never ends by itself.
func hang() {
	_, w := proc.Wire()
	fmt.Fprintln(w, os.Getpid())
	for {
		time.Sleep(time.Hour)
	}
}

// announceSleep starts a grandchild that would outlive every test, and writes both pids on the
// wire.
func announceSleep() {
	cmd := sleepCommand()
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr // held open, as a careless program does
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(98)
	}
	_, w := proc.Wire()
	fmt.Fprintln(w, os.Getpid(), cmd.Process.Pid)
}

// family starts a grandchild and then is as deaf as HOW says: it never reads the wire.
func family() {
	announceSleep()
	switch os.Getenv("HOW") {
	case "stop":
		stopSelf()
	case "busy":
		for {
			spins++
		}
	}
	for {
		time.Sleep(time.Hour)
	}
}

var spins uint64

// middle starts a worker, passes its announcement on, and hangs.
func middle(w io.Writer) {
	s := proc.NewSpawner()
	var p *proc.Process
	var err error
	started := make(chan struct{})
	go func() { // ends after the start
		defer close(started)
		if os.Getenv("THREAD") == "ends" {
			runtime.LockOSThread() // and never unlocked
		}
		p, err = s.Start(&proc.Spec{Role: role("family"), Inherited: childEnv("HOW=" + os.Getenv("HOW"))})
	}()
	<-started
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(97)
	}
	line, _ := bufio.NewReader(p.Out).ReadString('\n')
	fmt.Fprint(w, line)
	for {
		time.Sleep(time.Hour)
	}
}

// report is what a worker found in its process.
type report struct {
	Role         proc.Role
	Args         []string
	Dir          string
	Environ      []string
	Markers      int // in the environment at the process's start, where the system shows it
	StdinBytes   int
	StdinErr     string
	StdoutErr    string
	OnMain       bool
	OnMainAside  bool
	Released     bool
	FDs          map[int]string
	Identity     string
	Deadline     bool
	TestAllowed  bool
	IsTestBinary bool
}

func takeReport() report {
	r := report{Role: *proc.Current(), Args: os.Args, Environ: os.Environ(), FDs: openFDs()}
	r.Dir, _ = os.Getwd()
	start, _ := os.ReadFile("/proc/self/environ")
	r.Markers = bytes.Count(start, []byte(proc.MarkerName+"="))
	in, err := io.ReadAll(os.Stdin)
	r.StdinBytes, r.StdinErr = len(in), errText(err)
	_, err = fmt.Print("")
	r.StdoutErr = errText(err)
	r.OnMain = onMainThread()
	aside := make(chan bool)
	go func() { // ends with the send
		runtime.LockOSThread() // not on the main thread: that one is taken
		aside <- onMainThread()
	}()
	r.OnMainAside = <-aside
	proc.ReleaseMainThread()
	proc.ReleaseMainThread()
	r.Released = proc.MainThreadReleased()
	r.Identity, _ = proc.Identity()
	pipe, _ := proc.Wire()
	wire := proc.Inlet(pipe).(interface {
		io.Reader
		SetReadDeadline(time.Time) error
	})
	if wire.SetReadDeadline(time.Now().Add(-time.Second)) == nil {
		_, err := wire.Read(make([]byte, 1))
		r.Deadline = errors.Is(err, os.ErrDeadlineExceeded)
		_ = wire.SetReadDeadline(time.Time{})
	}
	r.TestAllowed, r.IsTestBinary = proc.TestBinaryAllowed(), proc.IsTestBinary()
	return r
}

// openFDs returns this process's descriptors, by number, with what they lead to, where the system
// lists them.
func openFDs() map[int]string {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	fds := make(map[int]string)
	for _, name := range names {
		if fd, _ := strconv.Atoi(name); fd != int(dir.Fd()) {
			fds[fd], _ = os.Readlink("/proc/self/fd/" + name)
		}
	}
	return fds
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// role returns the role of a test's child.
func role(name string) proc.Role {
	return proc.Role{Main: "test", Path: []string{name}, Index: 3, Life: 2, Depth: 1, Cookie: "c00c1e"}
}

// childEnv returns the environment of a child: a race-built one would sleep for a second at its
// exit.
func childEnv(more ...string) []string {
	return append(append(os.Environ(), "GORACE=atexit_sleep_ms=0", mainVar+"="), more...)
}

// copyBinary copies this binary. The copying is left to another process: a descriptor open for
// writing that a start in this process inherits by chance makes the copy's start fail with ETXTBSY.
func copyBinary(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy.test")
	if out, err := exec.Command("cp", path, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return to
}
