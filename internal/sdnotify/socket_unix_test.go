//go:build darwin || dragonfly || freebsd || linux || openbsd

package sdnotify_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multiprolab/multiprolab/internal/sdnotify"
)

// limit bounds every wait. It is generous, because nothing waits for it unless a test fails.
const limit = 20 * time.Second

// socketPath returns a path that is short enough for an address: t.TempDir's may not be, on macOS.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "notify")
}

// listen plays the service manager.
func listen(t *testing.T, socket string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func receive(t *testing.T, manager *net.UnixConn) string {
	t.Helper()
	if err := manager.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	n, err := manager.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func notifier(t *testing.T, socket string) *sdnotify.Notifier {
	t.Helper()
	setenv(t, &socket, nil, nil)
	n := sdnotify.FromEnv()
	if n == nil {
		t.Fatalf("FromEnv() = nil for %q", socket)
	}
	requireUnset(t)
	return n
}

func monotonic(t *testing.T) int64 {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	return now.Nano() / 1000
}

func TestNotifications(t *testing.T) {
	sockets := map[string]string{"path": socketPath(t)}
	if runtime.GOOS == "linux" {
		sockets["abstract"] = fmt.Sprintf("@multiprolab-sdnotify-%d", os.Getpid())
	}
	for name, socket := range sockets {
		t.Run(name, func(t *testing.T) {
			manager := listen(t, socket)
			n := notifier(t, socket)
			for _, test := range []struct {
				send func() error
				want string
			}{
				{n.Ready, "READY=1"},
				{n.Watchdog, "WATCHDOG=1"},
				{n.Stopping, "STOPPING=1"},
			} {
				if err := test.send(); err != nil {
					t.Errorf("%s: %v", test.want, err)
					continue
				}
				if got := receive(t, manager); got != test.want {
					t.Errorf("got %q, want %q", got, test.want)
				}
			}

			before := monotonic(t)
			if err := n.Reloading(); err != nil {
				t.Fatal(err)
			}
			after := monotonic(t)
			text, ok := strings.CutPrefix(receive(t, manager), "RELOADING=1\nMONOTONIC_USEC=")
			if !ok {
				t.Fatalf("got %q", text)
			}
			usec, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if usec < before || usec > after {
				t.Errorf("MONOTONIC_USEC=%d, want from %d to %d", usec, before, after)
			}
		})
	}
}

func TestAbstractOnlyOnLinux(t *testing.T) {
	setenv(t, new("@name"), nil, nil)
	if got, want := sdnotify.FromEnv() != nil, runtime.GOOS == "linux"; got != want {
		t.Errorf("FromEnv took an abstract name: %v, want %v", got, want)
	}
}

func TestWatchdogInterval(t *testing.T) {
	self := strconv.Itoa(os.Getpid())
	for name, test := range map[string]struct {
		usec, pid *string
		want      time.Duration
	}{
		"no watchdog":          {nil, nil, 0},
		"pid without watchdog": {nil, &self, 0},
		"unset pid":            {new("30000000"), nil, 15 * time.Second},
		"empty pid":            {new("30000000"), new(""), 15 * time.Second},
		"this pid":             {new("3000001"), &self, 1500*time.Millisecond + 500},
		"other pid":            {new("30000000"), new(strconv.Itoa(os.Getppid())), 0},
		"malformed pid":        {new("30000000"), new("me"), 0},
		"malformed usec":       {new("30s"), nil, 0},
		"negative usec":        {new("-1"), nil, 0},
		"zero usec":            {new("0"), nil, 0},
		"infinity":             {new("18446744073709551615"), nil, 0},
		"out of range":         {new("18446744073709551616"), nil, 0},
		"longer than Duration": {new("18446744073709551614"), nil, math.MaxInt64 / 500 * 500},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, new("/run/systemd/notify"), test.usec, test.pid)
			n := sdnotify.FromEnv()
			if n == nil {
				t.Fatal("FromEnv() = nil")
			}
			if got := n.WatchdogInterval(); got != test.want {
				t.Errorf("WatchdogInterval() = %v, want %v", got, test.want)
			}
			requireUnset(t)
			if sdnotify.FromEnv() != nil {
				t.Error("a second FromEnv found something")
			}
		})
	}
}

// TestChildInheritsNothing looks at the environment that a child really gets.
func TestChildInheritsNothing(t *testing.T) {
	setenv(t, new("/run/systemd/notify"), new("2000000"), new(strconv.Itoa(os.Getpid())))
	env := func() string {
		out, err := exec.Command("env").Output()
		if err != nil {
			t.Fatal(err)
		}
		return "\n" + string(out)
	}
	names := []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
	before := env()
	sdnotify.FromEnv()
	after := env()
	for _, name := range names {
		if !strings.Contains(before, "\n"+name+"=") || strings.Contains(after, "\n"+name+"=") {
			t.Errorf("%s was not in the child's environment before FromEnv, or still is after it", name)
		}
	}
}

func TestErrorNamesSocketAndCause(t *testing.T) {
	check := func(t *testing.T, err, cause error, parts ...string) {
		t.Helper()
		if !errors.Is(err, cause) {
			t.Fatalf("got error %v, want %v", err, cause)
		}
		for _, part := range parts {
			if strings.Count(err.Error(), part) != 1 {
				t.Errorf("%q should contain %q once", err, part)
			}
		}
		t.Log(err)
	}
	t.Run("no socket", func(t *testing.T) {
		socket := socketPath(t)
		check(t, notifier(t, socket).Ready(), fs.ErrNotExist, "READY=1", socket, "connect: ")
	})
	t.Run("nobody listens", func(t *testing.T) {
		socket := socketPath(t)
		manager := listen(t, socket)
		n := notifier(t, socket)
		manager.Close() // leaves the file
		check(t, n.Stopping(), syscall.ECONNREFUSED, "STOPPING=1", socket, "connect: ")
		// A service manager that starts again is found again.
		if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		again := listen(t, socket)
		if err := n.Stopping(); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, again); got != "STOPPING=1" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("path too long", func(t *testing.T) {
		socket := "/" + strings.Repeat("x", 200)
		check(t, notifier(t, socket).Reloading(), syscall.EINVAL, "RELOADING=1", socket)
	})
}

// TestFullQueue: a service manager that does not read must not hold up the main process for longer
// than a second.
func TestFullQueue(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other kernels do not wait for room in a datagram queue")
	}
	socket := socketPath(t)
	manager := listen(t, socket)
	n := notifier(t, socket)

	const most = 1 << 16 // far more than net.unix.max_dgram_qlen is anywhere
	queued := 0
	var err error
	var took time.Duration
	for ; queued < most; queued++ {
		start := time.Now()
		if err = n.Watchdog(); err != nil {
			took = time.Since(start)
			break
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("after %d notifications: %v", queued, err)
	}
	if took < time.Second || took > limit {
		t.Errorf("took %v, want about 1s", took)
	}
	if !strings.Contains(err.Error(), socket) || !strings.Contains(err.Error(), "WATCHDOG=1") {
		t.Errorf("%q lacks the socket or the notification", err)
	}
	t.Logf("after %d notifications and %v: %v", queued, took, err)

	// Room that is made while a sender waits lets it through. The reader begins when the sender is
	// under way; should it come too early, the sender finds room at once, which is right as well.
	sent := make(chan error, 1)
	go func() { sent <- n.Ready() }() // ends by its deadline at the latest
	for range queued {
		if got := receive(t, manager); got != "WATCHDOG=1" {
			t.Errorf("got %q", got)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if got := receive(t, manager); got != "READY=1" {
		t.Errorf("got %q", got)
	}
}
