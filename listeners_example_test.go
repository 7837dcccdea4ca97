package multiprolab_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/prefork"
)

// Two workers serve HTTP at one address. Each can crash, or be replaced, while the other one
// serves.
func ExampleMain_Listen() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true}) // nil for real processes
	app.RegisterWorker("web", func(ctx context.Context, w *multiprolab.Worker) error {
		hello := func(rw http.ResponseWriter, r *http.Request) { fmt.Fprintln(rw, "hello from", w.Pool()) }
		return prefork.Serve(w, "http", &http.Server{Handler: http.HandlerFunc(hello)}, nil)
	}, &multiprolab.WorkerConfig{Count: 2, Listeners: []string{"http"}})
	if err := app.Listen("http", "tcp", "127.0.0.1:0"); err != nil {
		fmt.Println(err)
		return
	}
	app.After(0, func(ctx context.Context) error {
		defer app.Exit()
		defer http.DefaultClient.CloseIdleConnections()
		r, err := http.Get("http://" + app.ListenerAddr("http").String())
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
func ExampleWorker_Listener() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true}) // nil for real processes
	app.RegisterWorker("echo", func(ctx context.Context, w *multiprolab.Worker) error {
		l, err := w.Listener("echo")
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
	if err := app.Listen("echo", "tcp", "127.0.0.1:0"); err != nil {
		fmt.Println(err)
		return
	}
	app.After(0, func(ctx context.Context) error {
		defer app.Exit()
		c, err := net.Dial("tcp", app.ListenerAddr("echo").String())
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

// A worker gets a file that main has opened, with the rights of main perhaps.
func ExampleWorker_File() {
	r, w, err := os.Pipe()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	app := multiprolab.New(&multiprolab.Config{InProcess: true}) // nil for real processes
	app.RegisterWorker("reader", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "read", func(ctx context.Context, name string) (string, error) {
			f, err := w.File(name)
			if err != nil {
				return "", err
			}
			defer f.Close()
			b, err := io.ReadAll(f)
			return strings.ToUpper(string(b)), err
		})
		return nil
	}, &multiprolab.WorkerConfig{Files: map[string]*os.File{"input": r}})
	app.After(0, func(ctx context.Context) error {
		defer app.Exit()
		fmt.Fprint(w, "written by main")
		_ = w.Close()
		text, err := multiprolab.Do[string](ctx, app, "read", "input")
		fmt.Println(text, err)
		return nil
	})
	if err := app.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: WRITTEN BY MAIN <nil>
}
