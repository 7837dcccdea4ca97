//go:build unix

package multiprolab_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// launchMain is startMain for a main process that needs more than an environment.
func launchMain(t *testing.T, scenario string, prepare func(*exec.Cmd), env ...string) *mainProcess {
	t.Helper()
	require.Contains(t, scenarios, scenario)
	exe, err := os.Executable()
	require.NoError(t, err)
	p := &mainProcess{Cmd: exec.Command(exe), out: &buffer{}, exited: make(chan struct{})}
	p.Env = append(append(os.Environ(), "MULTIPROLAB_TEST_MAIN="+scenario), env...)
	p.Stdout, p.Stderr = p.out, p.out
	p.WaitDelay = 10 * time.Second
	prepare(p.Cmd)
	require.NoError(t, p.Start())
	go func() { // ends with the process; the clean-up waits for it
		defer close(p.exited)
		p.err = p.Wait()
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("output of scenario %s:\n%s", scenario, p.out)
		}
	})
	return p
}

// inSession gives a main a session of its own, without a terminal.
func inSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// The service runs until it is told to end. Its workers visit the gate when they are set up, and
// say whether they see the service manager. Main visits it once they are ready.
var _ = scenario("service", func() {
	app := multiprolab.New(
		&multiprolab.Config{Logger: inTheirOwnWords(), SetupTimeout: forever, ShutdownTimeout: forever},
	)
	app.RegisterWorker("service", setups["service"], &multiprolab.WorkerConfig{Count: 2})
	app.After(0, func(ctx context.Context) error {
		_, err := visit{os.Getenv(gateVar), "main"}.waitSoft(ctx)
		return err
	})
	fmt.Println("Run returned:", app.Run(context.Background()))
})

var _ = worker("service", func(ctx context.Context, w *multiprolab.Worker) error {
	seen := os.Getenv("NOTIFY_SOCKET") + os.Getenv("WATCHDOG_USEC") + os.Getenv("WATCHDOG_PID")
	_, err := visit{os.Getenv(gateVar), fmt.Sprintf("setup %s life %d sees %q", w.Name(), w.Life(), seen)}.waitSoft(ctx)
	return err
})

// manager plays the service manager.
type manager struct {
	path string
	said chan string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd") // that of t.TempDir may be too long for a socket
	require.NoError(t, err)
	m := &manager{path: filepath.Join(dir, "notify"), said: make(chan string, 4096)}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() { // ends with the socket
		defer close(done)
		buf := make([]byte, 1<<16)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			m.said <- string(buf[:n])
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
		_ = os.RemoveAll(dir)
	})
	return m
}

// mark puts a mark behind all that was said so far, and returns that.
func (m *manager) mark(t testing.TB) (said []string) {
	t.Helper()
	conn, err := net.Dial("unixgram", m.path)
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "mark")
	require.NoError(t, err)
	for {
		s := await(t, m.said, "the mark")
		if s == "mark" {
			return said
		}
		said = append(said, s)
	}
}

// launchService starts the service, and lets its workers be set up.
func launchService(t *testing.T, g *gate, prepare func(*exec.Cmd), env ...string) *mainProcess {
	t.Helper()
	p := launchMain(t, "service", prepare, append(env, gateVar+"="+g.addr())...)
	for range 2 {
		v := g.next(t)
		require.Regexp(t, `^setup service/\d life 1 sees ""$`, v.label)
		v.tell("go on")
	}
	g.expect(t, "main").tell("go on")
	return p
}

// reloads sees the two workers of a service be replaced, one after the other.
func (g *gate) reloads(t *testing.T, life int) {
	t.Helper()
	for i := range 2 {
		v := g.expect(t, fmt.Sprintf(`setup service/%d life %d sees ""`, i, life))
		g.quiet(t)
		v.tell("go on")
	}
}

func requireSystemd(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" && runtime.GOOS != "freebsd" && runtime.GOOS != "openbsd" &&
		runtime.GOOS != "dragonfly" {
		t.Skip("there is no service manager of this kind on " + runtime.GOOS)
	}
}

// TestService_Notifications: the service manager is told of the start when all workers are ready,
// of each reload, and of the end; workers cannot speak to it.
func TestService_Notifications(t *testing.T) {
	requireSystemd(t)
	g, m := newGate(t), newManager(t)
	p := launchMain(t, "service", inSession, gateVar+"="+g.addr(), "NOTIFY_SOCKET="+m.path)
	for range 2 {
		v := g.next(t)
		require.Regexp(t, `^setup service/\d life 1 sees ""$`, v.label)
		require.Empty(t, m.mark(t))
		v.tell("go on")
	}
	require.Equal(t, "READY=1", await(t, m.said, "the start"))
	g.expect(t, "main").tell("go on")

	for life := 2; life <= 3; life++ {
		require.NoError(t, signalProcess(p.Process.Pid, "SIGHUP"))
		require.Regexp(t, `^RELOADING=1\nMONOTONIC_USEC=\d+$`, await(t, m.said, "the reload"))
		g.reloads(t, life)
		require.Equal(t, "READY=1", await(t, m.said, "the end of the reload"))
	}
	require.Empty(t, m.mark(t))
	require.NoError(t, signalProcess(p.Process.Pid, "SIGTERM"))
	require.NoError(t, p.wait(t))
	require.Equal(t, []string{"STOPPING=1"}, m.mark(t))
	require.Contains(t, p.out.String(), "Run returned: <nil>")
	require.Equal(t, 2, strings.Count(p.out.String(), "SIGHUP: the workers are restarted, one after the other"))
	require.Equal(t, 2, strings.Count(p.out.String(), "all workers have been restarted"))
	require.NotContains(t, p.out.String(), "level=ERROR")
}

// TestService_EndInReload: the end comes in the middle of a reload. After it has begun, the service
// is never said to be ready again.
func TestService_EndInReload(t *testing.T) {
	requireSystemd(t)
	g, m := newGate(t), newManager(t)
	p := launchService(t, g, inSession, "NOTIFY_SOCKET="+m.path)
	require.NoError(t, signalProcess(p.Process.Pid, "SIGHUP"))
	g.expect(t, `setup service/0 life 2 sees ""`)
	require.NoError(t, signalProcess(p.Process.Pid, "SIGTERM"))
	_ = p.wait(t)
	said := m.mark(t)
	require.Len(t, said, 3, "%q", said)
	require.Equal(t, "READY=1", said[0])
	require.Contains(t, said[1], "RELOADING=1")
	require.Equal(t, "STOPPING=1", said[2])
}

// TestService_EndInStart: a service that is ended before it was ready is never said to be.
func TestService_EndInStart(t *testing.T) {
	requireSystemd(t)
	g, m := newGate(t), newManager(t)
	p := launchMain(t, "service", inSession, gateVar+"="+g.addr(), "NOTIFY_SOCKET="+m.path)
	g.next(t)
	g.next(t)
	require.NoError(t, signalProcess(p.Process.Pid, "SIGTERM"))
	_ = p.wait(t)
	require.Equal(t, []string{"STOPPING=1"}, m.mark(t))
}

// The watched main blocks its loop as the gate says.
var _ = scenario("watched", func() {
	app := multiprolab.New(&multiprolab.Config{Logger: inTheirOwnWords()})
	app.RegisterWorker("guest", setups["guest"], &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: []string{gateVar + "="}}})
	app.After(0, func(ctx context.Context) error {
		go func() { // ends with the process
			for {
				must(visit{os.Getenv(gateVar), "outside"}.wait())
				if _, err := multiprolab.Call[int](context.Background(), app, "main", "block", nil); err != nil {
					return
				}
			}
		}()
		return nil
	})
	multiprolab.HandleCall(app, "block", func(context.Context, struct{}) (int, error) {
		_, err := visit{os.Getenv(gateVar), "loop"}.wait()
		return 0, err
	})
	fmt.Println("Run returned:", app.Run(context.Background()))
})

// TestService_Watchdog: the watchdog is served as long as the loop of main turns, and not while it
// is blocked.
func TestService_Watchdog(t *testing.T) {
	t.Parallel()
	requireSystemd(t)
	g, m := newGate(t), newManager(t)
	p := launchMain(t, "watched", inSession, gateVar+"="+g.addr(), "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=100000")
	for range 2 {
		outside := g.expect(t, "outside")
		for n := 0; n < 4; {
			if await(t, m.said, "the watchdog") == "WATCHDOG=1" {
				n++
			}
		}
		outside.tell("go on")
		blocked := g.expect(t, "loop") // what it said before has arrived
		m.mark(t)
		<-time.After(300 * time.Millisecond) // six times the interval
		require.Empty(t, m.mark(t))
		blocked.tell("go on")
	}
	require.NoError(t, signalProcess(p.Process.Pid, "SIGTERM"))
	require.NoError(t, p.wait(t))
}

// TestReload_SIGHUP: a program without a terminal restarts its workers, and goes on.
func TestReload_SIGHUP(t *testing.T) {
	g := newGate(t)
	p := launchService(t, g, inSession)
	require.NoError(t, signalProcess(p.Process.Pid, "SIGHUP"))
	g.reloads(t, 2)
	eventually(
		t,
		"the end of the reload",
		func() bool { return strings.Contains(p.out.String(), "all workers have been restarted") },
	)
	require.Contains(t, p.out.String(), "SIGHUP: the workers are restarted, one after the other")
	require.NoError(t, signalProcess(p.Process.Pid, "SIGTERM"))
	require.NoError(t, p.wait(t))
	require.Contains(t, p.out.String(), "Run returned: <nil>")
	g.quiet(t)
}

// TestReload_NoHup: under nohup SIGHUP is nothing.
func TestReload_NoHup(t *testing.T) {
	g := newGate(t)
	p := launchService(t, g, func(cmd *exec.Cmd) {
		inSession(cmd)
		cmd.Args = []string{"sh", "-c", `trap "" HUP; exec "$0"`, cmd.Path}
		cmd.Path = "/bin/sh"
	})
	require.NoError(t, signalProcess(p.Process.Pid, "SIGHUP"))
	require.NoError(t, signalProcess(p.Process.Pid, "SIGTERM"))
	require.NoError(t, p.wait(t))
	require.Contains(t, p.out.String(), "Run returned: <nil>")
	require.NotContains(t, p.out.String(), "SIGHUP")
	require.NotContains(t, p.out.String(), "life=2")
	g.quiet(t)
}
