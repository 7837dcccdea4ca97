package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/prefork"
	"github.com/multiprolab/multiprolab/sockets"
)

// The worker "web" serves HTTP at the listener "web": /pid tells its process, and /slow answers
// when main closes the pipe "release". It takes the other things that it has when it is asked to.
var _ = worker("web", func(ctx context.Context, w *multiprolab.Worker) error {
	l, err := sockets.Listener(w, "web")
	if err != nil {
		return err
	}
	multiprolab.HandleCall(w, "take", func(_ context.Context, name string) (string, error) {
		if _, err := sockets.Listener(w, name); err != nil {
			return err.Error(), nil
		}
		return "", nil
	})
	mux := http.NewServeMux()
	mux.HandleFunc("/pid", func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, os.Getpid()) })
	mux.HandleFunc("/slow", func(rw http.ResponseWriter, r *http.Request) {
		_ = multiprolab.Send(r.Context(), w, "main", "slow", os.Getpid())
		if f, err := w.File("release"); err == nil {
			_, _ = io.ReadAll(f) // until main closes the other end
			_ = f.Close()
		}
		fmt.Fprint(rw, os.Getpid())
	})
	w.Loop(func(ctx context.Context) error {
		return prefork.ServeUntil(ctx, &http.Server{Handler: mux}, l, nil)
	})
	return nil
})

// webLab starts workers behind one port, and returns a function that asks for a path.
func webLab(t *testing.T, cfg *multiprolab.Config, count int) (*lab, func(path string) (string, error)) {
	t.Helper()
	l := newLab(t, cfg, pool{"web", &multiprolab.WorkerConfig{Count: count, Listeners: []string{"web"}}})
	require.NoError(t, sockets.Listen(l.Main, "web", "tcp", "127.0.0.1:0"))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	t.Cleanup(client.CloseIdleConnections)
	get := func(path string) (string, error) {
		return get(client, "http://"+sockets.Addr(l.Main, "web").String()+path)
	}
	startReady(t, l)
	return l, get
}

// startReady is the second half of startLab.
func startReady(t *testing.T, l *lab) {
	t.Helper()
	require.NoError(t, l.Start(context.Background()))
	t.Cleanup(func() {
		_ = l.Close() // a test that cares closes it before
		l.checkGone(t)
	})
}

func get(client *http.Client, url string) (string, error) {
	r, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = errors.New(r.Status + ": " + string(b))
	}
	return string(b), err
}

// While the workers behind a port are replaced one after the other, every request is answered: new
// connections go to another worker, or wait for the next one, and what was accepted is finished.
func TestRestartBehindOnePort(t *testing.T) {
	for _, count := range []int{1, 3} {
		t.Run(strconv.Itoa(count), func(t *testing.T) {
			l, get := webLab(t, nil, count)
			var asked, failed atomic.Int64
			var pids sync.Map
			over := make(chan struct{})
			var load sync.WaitGroup
			for range 4 {
				load.Go(func() { // ends with the restarts
					for {
						select {
						case <-over:
							return
						default:
						}
						asked.Add(1)
						pid, err := get("/pid")
						if err != nil {
							failed.Add(1)
							t.Error(err)
							return
						}
						pids.Store(pid, true)
					}
				})
			}
			for range 5 {
				pid, err := get("/pid") // of this process there is nothing left after the restart
				require.NoError(t, err)
				pids.Store(pid, true)
				require.NoError(t, l.Restart(bounded(t), "web"))
			}
			close(over)
			load.Wait()
			processes := 0
			pids.Range(func(any, any) bool { processes++; return true })
			require.Zero(t, failed.Load())
			require.GreaterOrEqual(t, processes, 5, "of %d requests", asked.Load())
		})
	}
}

// A connection that comes while all workers are dead waits in main's socket for the next one.
func TestConnectionWaitsForReplacement(t *testing.T) {
	l, get := webLab(t, nil, 1)
	for range 3 {
		text, err := get("/pid")
		require.NoError(t, err)
		pid, err := strconv.Atoi(text)
		require.NoError(t, err)
		require.NoError(t, killProcess(pid))
		waitEvent(t, l, func(e *multiprolab.WorkerFailed) bool { return e.PID == pid })
		next, err := get("/pid")
		require.NoError(t, err)
		require.NotEqual(t, text, next)
	}
}

// When the program ends, connections are refused as soon as no worker accepts any more, while what
// was accepted is finished.
func TestEndRefusesConnections(t *testing.T) {
	for name, cfg := range map[string]*multiprolab.Config{"processes": nil, "in process": {InProcess: true}} {
		t.Run(name, func(t *testing.T) {
			r, release, err := os.Pipe()
			require.NoError(t, err)
			defer r.Close()
			l := newLab(t, cfg, pool{"web", &multiprolab.WorkerConfig{
				Listeners: []string{"web"}, Files: map[string]*os.File{"release": r},
			}})
			require.NoError(t, sockets.Listen(l.Main, "web", "tcp", "127.0.0.1:0"))
			slow := make(chan int, 1)
			multiprolab.Handle(l, "slow", func(_ context.Context, pid int) error { slow <- pid; return nil })
			startReady(t, l)
			address := sockets.Addr(l.Main, "web").String()
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			answered := make(chan error, 1)
			go func() { // ends with the answer
				_, err := get(client, "http://"+address+"/slow")
				answered <- err
			}()
			await(t, slow, "the request")
			l.Exit()
			eventually(t, "connections are refused", func() bool {
				c, err := net.Dial("tcp", address)
				if err == nil {
					_ = c.Close()
				}
				return err != nil
			})
			select {
			case err := <-answered:
				require.FailNow(t, "the request was not finished", "%v", err)
			default:
			}
			require.NoError(t, release.Close())
			require.NoError(t, await(t, answered, "the answer"))
			require.NoError(t, l.Close())
		})
	}
}

func TestListenersInProcess(t *testing.T) {
	l, get := webLab(t, &multiprolab.Config{InProcess: true}, 2)
	for range 10 {
		pid, err := get("/pid")
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(os.Getpid()), pid)
	}
	require.NoError(t, l.Restart(bounded(t), ""))
	_, err := get("/pid")
	require.NoError(t, err)
	text, err := multiprolab.Call[string](bounded(t), l, "web/0", "take", "web")
	require.NoError(t, err)
	require.Contains(t, text, "before")
}

// A worker takes a listener once, and none that it was not given.
func TestTakeListener(t *testing.T) {
	l, _ := webLab(t, nil, 1)
	for name, want := range map[string]string{
		"web":   `has taken the listener "web" before`,
		"other": `has no listener "other": name it in WorkerConfig.Listeners`,
	} {
		text, err := multiprolab.Call[string](bounded(t), l, "web/0", "take", name)
		require.NoError(t, err)
		require.Contains(t, text, want)
	}
}

func TestMistakesWithListeners(t *testing.T) {
	closedFile, err := os.Open(os.DevNull)
	require.NoError(t, err)
	require.NoError(t, closedFile.Close())
	for name, c := range map[string]struct {
		cfg  multiprolab.WorkerConfig
		want string
	}{
		"unknown":     {multiprolab.WorkerConfig{Listeners: []string{"wen"}}, "(there are: web)"},
		"twice":       {multiprolab.WorkerConfig{Listeners: []string{"web", "web"}}, "named twice"},
		"malformed":   {multiprolab.WorkerConfig{Listeners: []string{"a:b"}}, "malformed"},
		"nil file":    {multiprolab.WorkerConfig{Files: map[string]*os.File{"f": nil}}, `WorkerConfig.Files["f"]`},
		"closed file": {multiprolab.WorkerConfig{Files: map[string]*os.File{"f": closedFile}}, `hand over "file f"`},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil, pool{"lab", &c.cfg})
			require.NoError(t, sockets.Listen(l.Main, "web", "tcp", "127.0.0.1:0"))
			address := sockets.Addr(l.Main, "web").String()
			require.ErrorContains(t, l.Start(bounded(t)), c.want)
			_, err := net.Dial("tcp", address)
			require.Error(t, err, "a Main that has not started holds no listener any more")
		})
	}
	l := newLab(t, nil)
	require.NoError(t, sockets.Listen(l.Main, "web", "tcp", "127.0.0.1:0"))
	require.Contains(t, panicText(t, func() { _ = sockets.Listen(l.Main, "web", "tcp", "127.0.0.1:0") }), "is opened twice, at ")
	require.Contains(t, panicText(t, func() { _ = sockets.Listen(l.Main, "", "tcp", "127.0.0.1:0") }), "is malformed")
	taken := sockets.Addr(l.Main, "web").String()
	require.ErrorContains(t, sockets.Listen(l.Main, "web 2", "tcp", taken), `listener "web 2"`)
	require.NoError(t, sockets.Listen(l.Main, "web 2", "tcp", "127.0.0.1:0"), "after an error the name is free")
	require.NoError(t, l.Start(bounded(t)))
	require.Contains(t, panicText(t, func() { _ = sockets.Listen(l.Main, "a", "tcp", "127.0.0.1:0") }), "after Run or Start")
	require.NoError(t, l.Close())
	require.Nil(t, sockets.Addr(l.Main, "other"))
}

// The file of a Unix socket stays while workers come and go, and goes with main.
func TestUnixListener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web")
	l := newLab(t, nil, pool{"web", &multiprolab.WorkerConfig{Listeners: []string{"web"}}})
	require.NoError(t, sockets.Listen(l.Main, "web", "unix", path))
	startReady(t, l)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}}}
	ask := func() int {
		text, err := get(client, "http://web/pid")
		require.NoError(t, err)
		pid, err := strconv.Atoi(text)
		require.NoError(t, err)
		return pid
	}
	first := ask()
	require.NoError(t, l.Restart(bounded(t), ""))
	second := ask()
	require.NotEqual(t, first, second)
	require.NoError(t, killProcess(second))
	require.NotEqual(t, second, ask())
	require.NoError(t, l.Close())
	_, err := os.Lstat(path)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// The worker "handed" tells what it finds.
var _ = worker("handed", func(ctx context.Context, w *multiprolab.Worker) error {
	var closers []func()
	w.OnExit(func(context.Context) error {
		for _, c := range closers {
			c()
		}
		return nil
	})
	multiprolab.HandleCall(w, "read", func(_ context.Context, name string) (string, error) {
		f, err := w.File(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		b, err := io.ReadAll(f)
		return string(b), err
	})
	multiprolab.HandleCall(w, "echo-packets", func(_ context.Context, name string) (string, error) {
		c, err := sockets.PacketConn(w, name)
		if err != nil {
			return "", err
		}
		stopped := make(chan struct{})
		closers = append(closers, func() { _ = c.Close(); <-stopped })
		go func() { // ends when the socket is closed
			defer close(stopped)
			buf := make([]byte, 100)
			for {
				n, from, err := c.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = c.WriteTo(append([]byte(w.Name()+" "), buf[:n]...), from)
			}
		}()
		return c.LocalAddr().String(), nil
	})
	return nil
})

func TestFiles(t *testing.T) {
	for name, cfg := range map[string]*multiprolab.Config{"processes": nil, "in process": {InProcess: true}} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			require.NoError(t, os.WriteFile(path, []byte("text"), 0o600))
			file, err := os.Open(path)
			require.NoError(t, err)
			defer file.Close()
			r, w, err := os.Pipe()
			require.NoError(t, err)
			defer r.Close()
			l := startLab(t, cfg, pool{"handed", &multiprolab.WorkerConfig{
				Files: map[string]*os.File{"text": file, "pipe": r},
			}})
			_, err = w.WriteString("through a pipe")
			require.NoError(t, err)
			require.NoError(t, w.Close())
			for name, want := range map[string]string{"text": "text", "pipe": "through a pipe"} {
				got, err := multiprolab.Call[string](bounded(t), l, "handed", "read", name)
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
			_, err = multiprolab.Call[string](bounded(t), l, "handed", "read", "text")
			require.ErrorContains(t, err, `has taken the file "text" before`)
			_, err = multiprolab.Call[string](bounded(t), l, "handed", "read", "other")
			require.ErrorContains(t, err, `has no file "other": put it into WorkerConfig.Files`)
		})
	}
}

func TestPacketConn(t *testing.T) {
	for name, cfg := range map[string]*multiprolab.Config{"processes": nil, "in process": {InProcess: true}} {
		t.Run(name, func(t *testing.T) {
			own, err := net.ListenPacket("udp", "127.0.0.1:0")
			require.NoError(t, err)
			l := newLab(t, cfg, pool{"handed", &multiprolab.WorkerConfig{Listeners: []string{"opened", "given"}}})
			require.NoError(t, sockets.Listen(l.Main, "opened", "udp", "127.0.0.1:0"))
			require.NoError(t, sockets.Add(l.Main, "given", own))
			require.NoError(t, own.Close())
			startReady(t, l)
			for _, name := range []string{"opened", "given"} {
				address, err := multiprolab.Call[string](bounded(t), l, "handed", "echo-packets", name)
				require.NoError(t, err)
				require.Equal(t, sockets.Addr(l.Main, name).String(), address)
				c, err := net.Dial("udp", address)
				require.NoError(t, err)
				_, err = c.Write([]byte("hello"))
				require.NoError(t, err)
				buf := make([]byte, 100)
				n, err := c.Read(buf)
				require.NoError(t, err)
				require.Equal(t, "handed/0 hello", string(buf[:n]))
				require.NoError(t, c.Close())
			}
		})
	}
}
