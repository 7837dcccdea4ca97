package multiprolab_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/sockets"
)

// socketsOf returns how many sockets a process has open.
func socketsOf(t *testing.T, pid int) int {
	t.Helper()
	n, err := countSockets(pid)
	require.NoError(t, err)
	return n
}

// countSockets is socketsOf in a worker.
func countSockets(pid int) (n int, err error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if to, _ := os.Readlink(filepath.Join(dir, e.Name())); strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n, err
}

// A worker holds no socket that it has not asked for, and main none after the end.
func TestOnlyWhoAsksHoldsSocket(t *testing.T) {
	own := socketsOf(t, os.Getpid())
	l := newLab(t, nil,
		pool{"lab", nil},
		pool{"web", &multiprolab.WorkerConfig{Listeners: []string{"web"}}},
	)
	require.NoError(t, sockets.Listen(l.Main, "web", "tcp", "127.0.0.1:0"))
	require.NoError(t, sockets.Listen(l.Main, "other", "tcp", "127.0.0.1:0"))
	startReady(t, l)
	pid, err := multiprolab.Do[int](bounded(t), l, "pid", nil)
	require.NoError(t, err)
	require.Zero(t, socketsOf(t, pid))
	web := waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == "web/0" }).PID
	require.Equal(t, 1, socketsOf(t, web))
	require.Equal(t, own+2, socketsOf(t, os.Getpid()))
	require.NoError(t, l.Close())
	require.Equal(t, own, socketsOf(t, os.Getpid()))
}

// A main process that a service manager has passed two sockets to.
var _ = scenario("activated", func() {
	fmt.Println("passed", sockets.Activated())
	app := multiprolab.New(nil)
	app.RegisterWorker("web", setups["web"], &multiprolab.WorkerConfig{Count: 2, Listeners: []string{"web"}})
	app.RegisterWorker("lab", setups["lab"], nil)
	if err := sockets.Listen(app, "web", "tcp", "256.256.256.256:1"); err != nil { // what was passed counts
		fmt.Println(err)
		return
	}
	fmt.Println(sockets.Listen(app, "none", sockets.Systemd, ""))
	fmt.Println("left", sockets.Activated(), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_PID"))
	app.After(0, func(ctx context.Context) error {
		n, err := multiprolab.Do[int](ctx, app, "pid", nil)
		if err != nil {
			return err
		}
		fmt.Println("ready", n)
		return nil
	})
	fmt.Println(app.Run(context.Background()))
})

// Sockets of systemd are taken by their names, and go to the workers that ask for them.
func TestSocketActivation(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0"`, exe)
	cmd.Env = append(os.Environ(), "MULTIPROLAB_TEST_MAIN=activated", "LISTEN_FDS=2", "LISTEN_FDNAMES=other:web")
	var addresses []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		file, err := l.(*net.TCPListener).File()
		require.NoError(t, err)
		require.NoError(t, l.Close())
		defer file.Close()
		addresses = append(addresses, l.Addr().String())
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
	}
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	stderr := &buffer{}
	cmd.Stderr = stderr
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(stderr)
		}
	}()
	lines := bufio.NewScanner(out)
	next := func() string {
		require.True(t, lines.Scan(), "%v", lines.Err())
		return lines.Text()
	}
	require.Equal(t, "passed [other web]", next())
	require.Contains(t, next(), `listener "none": the service manager has passed no socket of this name`)
	require.Equal(t, "left [other]  ", next())
	var lab int
	_, err = fmt.Sscanf(next(), "ready %d", &lab)
	require.NoError(t, err)
	require.Zero(t, socketsOf(t, lab), "what nobody has asked for is not inherited")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	pid, err := get(client, "http://"+addresses[1]+"/pid")
	require.NoError(t, err)
	require.NotEqual(t, fmt.Sprint(cmd.Process.Pid), pid)
	require.NoError(t, signalProcess(cmd.Process.Pid, "SIGTERM"))
	require.Equal(t, "<nil>", next())
}

// The worker "child" tells how many sockets a command has that it starts.
var _ = worker("child", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleCall(w, "sockets", func(ctx context.Context, _ int) ([2]int, error) {
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			return [2]int{}, err
		}
		defer func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}()
		own, err := countSockets(os.Getpid())
		if err != nil {
			return [2]int{}, err
		}
		of, err := countSockets(cmd.Process.Pid)
		return [2]int{own, of}, err
	})
	return nil
})

// Descriptors do not gather with the restarts, and no command of a worker inherits a listener.
func TestRestartsGatherNoSockets(t *testing.T) {
	l := newLab(t, nil, pool{"child", &multiprolab.WorkerConfig{Listeners: []string{"1 ü#2 =$(x)"}}})
	require.NoError(t, sockets.Listen(l.Main, "1 ü#2 =$(x)", "tcp", "127.0.0.1:0"))
	startReady(t, l)
	main := socketsOf(t, os.Getpid())
	for range 5 {
		n, err := multiprolab.Call[[2]int](bounded(t), l, "child", "sockets", 0)
		require.NoError(t, err)
		require.Equal(t, [2]int{1, 0}, n)
		require.NoError(t, l.Restart(bounded(t), ""))
	}
	require.Equal(t, main, socketsOf(t, os.Getpid()))
}
