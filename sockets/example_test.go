package sockets_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/prefork"
	"github.com/multiprolab/multiprolab/sockets"
)

// Two workers serve HTTP at one address. Each can crash, or be replaced, while the other one
// serves.
func ExampleListen() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true}) // nil for real processes
	app.RegisterWorker("web", func(ctx context.Context, w *multiprolab.Worker) error {
		hello := func(rw http.ResponseWriter, r *http.Request) { fmt.Fprintln(rw, "hello from", w.Pool()) }
		return prefork.Serve(w, "http", &http.Server{Handler: http.HandlerFunc(hello)}, nil)
	}, &multiprolab.WorkerConfig{Count: 2, Listeners: []string{"http"}})
	if err := sockets.Listen(app, "http", "tcp", "127.0.0.1:0"); err != nil {
		fmt.Println(err)
		return
	}
	app.After(0, func(ctx context.Context) error {
		defer app.Exit()
		defer http.DefaultClient.CloseIdleConnections()
		r, err := http.Get("http://" + sockets.Addr(app, "http").String())
		if err != nil {
			return err
		}
		defer r.Body.Close()
		_, err = io.Copy(os.Stdout, r.Body)
		return err
	})
	if err := app.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: hello from web
}

// A worker accepts connections itself. At its end it closes its listener first, so that no
// connection is accepted that nobody would serve. Connections that come later wait for the next
// worker.
func ExampleListener() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true}) // nil for real processes
	app.RegisterWorker("echo", func(ctx context.Context, w *multiprolab.Worker) error {
		l, err := sockets.Listener(w, "echo")
		if err != nil {
			return err
		}
		w.Loop(func(ctx context.Context) error {
			context.AfterFunc(ctx, func() { _ = l.Close() })
			for {
				c, err := l.Accept()
				if ctx.Err() != nil && err != nil {
					return nil
				} else if err != nil {
					return err
				}
				_, _ = io.Copy(c, c) // one at a time; the client may leave at any time
				_ = c.Close()
			}
		})
		return nil
	}, &multiprolab.WorkerConfig{Listeners: []string{"echo"}})
	if err := sockets.Listen(app, "echo", "tcp", "127.0.0.1:0"); err != nil {
		fmt.Println(err)
		return
	}
	app.After(0, func(ctx context.Context) error {
		defer app.Exit()
		c, err := net.Dial("tcp", sockets.Addr(app, "echo").String())
		if err != nil {
			return err
		}
		defer c.Close()
		fmt.Fprint(c, "hello")
		_ = c.(*net.TCPConn).CloseWrite()
		b, err := io.ReadAll(c)
		fmt.Println(string(b))
		return err
	})
	if err := app.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: hello
}
