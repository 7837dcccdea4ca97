package multiprolab_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/prefork"
	"github.com/multiprolab/multiprolab/sockets"
)

// The worker "given-on" hands its listener to the workers of a Main of its own, which answer with
// their names. It serves itself at another one.
var _ = worker("given-on", func(ctx context.Context, w *multiprolab.Worker) error {
	l, err := sockets.Listener(w, "inner")
	if err != nil {
		return err
	}
	packets, err := sockets.PacketConn(w, "packets")
	if err != nil {
		return err
	}
	if err := prefork.Serve(w, "outer", &http.Server{Handler: tellName(w)}, nil); err != nil {
		return err
	}
	inner := multiprolab.New(nil)
	inner.RegisterWorker("served", func(ctx context.Context, w *multiprolab.Worker) error {
		if _, err := sockets.PacketConn(w, "packets"); err != nil {
			return err
		}
		return prefork.Serve(w, "web", &http.Server{Handler: tellName(w)}, nil)
	}, &multiprolab.WorkerConfig{Listeners: []string{"web", "packets"}})
	err = errors.Join(sockets.Add(inner, "web", l), sockets.Add(inner, "packets", packets), l.Close(), packets.Close())
	if err != nil {
		return err
	}
	w.OnExit(func(context.Context) error { return inner.Close() })
	return inner.Start(ctx)
})

// tellName answers each request with the name of the worker.
func tellName(w *multiprolab.Worker) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) { _, _ = rw.Write([]byte(w.Name())) }
}

// A worker can hand its sockets to the workers of a Main of its own, whose processes come by its
// setup function.
func TestListenerForInnerMain(t *testing.T) {
	l := newLab(t, nil, pool{"given-on", &multiprolab.WorkerConfig{Listeners: []string{"outer", "inner", "packets"}}})
	require.NoError(t, sockets.Listen(l.Main, "outer", "tcp", "127.0.0.1:0"))
	require.NoError(t, sockets.Listen(l.Main, "inner", "tcp", "127.0.0.1:0"))
	require.NoError(t, sockets.Listen(l.Main, "packets", "udp", "127.0.0.1:0"))
	startReady(t, l)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for name, want := range map[string]string{"outer": "given-on/0", "inner": "served/0"} {
		got, err := get(client, "http://"+sockets.Addr(l.Main, name).String())
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// The worker "late-taker" takes its listener when the file of Files ends.
var _ = worker("late-taker", func(ctx context.Context, w *multiprolab.Worker) error {
	f, err := w.File("go on")
	if err != nil {
		return err
	}
	_, _ = f.Read(make([]byte, 1))
	_ = f.Close()
	l, err := sockets.Listener(w, "web")
	if err != nil {
		return err
	}
	return l.Close()
})

// What a worker was handed is there although the program ends while its setup function runs, and
// what it has not taken is closed with it.
func TestHandedOutlivesExit(t *testing.T) {
	for name, cfg := range map[string]*multiprolab.Config{"processes": nil, "in process": {InProcess: true}} {
		t.Run(name, func(t *testing.T) {
			r, goOn, err := os.Pipe()
			require.NoError(t, err)
			defer r.Close()
			l := newLab(t, cfg, pool{"late-taker", &multiprolab.WorkerConfig{
				Listeners: []string{"web", "other"}, Files: map[string]*os.File{"go on": r},
			}})
			path := filepath.Join(t.TempDir(), "web")
			require.NoError(t, sockets.Listen(l.Main, "web", "unix", path))
			require.NoError(t, sockets.Listen(l.Main, "other", "tcp", "127.0.0.1:0"))
			ended := make(chan error, 1)
			go func() { ended <- l.Start(context.Background()) }() // ends with the program
			waitEvent[*multiprolab.WorkerStarted](t, l, nil)
			l.Exit()
			eventually(t, "main has closed its sockets", func() bool {
				_, err := os.Lstat(path)
				return errors.Is(err, fs.ErrNotExist)
			})
			require.NoError(t, goOn.Close())
			require.ErrorIs(t, await(t, ended, "the end"), multiprolab.ErrStopped)
			require.NoError(t, l.Close())
			for _, e := range l.all() {
				_, failed := e.(*multiprolab.WorkerFailed)
				require.False(t, failed, "%+v", e)
			}
			_, err = net.Dial("tcp", sockets.Addr(l.Main, "other").String())
			require.Error(t, err, "nobody has the socket any more")
		})
	}
}
