// Cobra is a program with a command line made by github.com/spf13/cobra: "serve" answers with the
// checksums of texts, which worker processes make. It holds a lock and a port, which no second
// process can have: the processes of the workers leave the program at Hook, before cobra reads the
// command line.
//
//	cd examples/cobra && go run . serve --address 127.0.0.1:8080 --workers 4 --lock /tmp/sums.lock
//	curl 'http://127.0.0.1:8080/?text=hello'
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/multiprolab/multiprolab"
)

func main() {
	app := multiprolab.New(nil)
	app.RegisterWorker("summer", summer, nil)
	app.Hook() // a worker's process does not come past this line

	var address, lock string
	var workers int
	root := &cobra.Command{Use: "sums", SilenceUsage: true}
	serve := &cobra.Command{
		Use:   "serve",
		Short: "answer with the checksums of texts",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			unlock, err := take(lock)
			if err != nil {
				return err
			}
			defer unlock()
			listener, err := net.Listen("tcp", address)
			if err != nil {
				return err
			}
			defer listener.Close()
			if err := app.Start(context.WithoutCancel(ctx)); err != nil {
				return err
			}
			defer app.Close()
			if err := app.Resize("summer", workers); err != nil { // Hook came before the flags
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "listening on", listener.Addr())
			return answer(ctx, app, listener)
		},
	}
	serve.Flags().StringVar(&address, "address", "127.0.0.1:0", "where to listen")
	serve.Flags().StringVar(&lock, "lock", "sums.lock", "the file that one process alone has")
	serve.Flags().IntVar(&workers, "workers", 2, "how many processes make checksums")
	root.AddCommand(serve)
	if err := root.Execute(); err != nil {
		os.Exit(1)
	}
}

// summer is the setup function of the workers.
func summer(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "sum", func(_ context.Context, text string) (string, error) {
		return fmt.Sprintf("%x made by process %d\n", sha256.Sum256([]byte(text)), os.Getpid()), nil
	})
	return nil
}

// take takes the lock.
func take(lock string) (unlock func(), err error) {
	f, err := os.OpenFile(lock, os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("another process has the lock: %w", err)
	}
	_ = f.Close()
	return func() { _ = os.Remove(lock) }, nil
}

// answer serves until the context ends.
func answer(ctx context.Context, app *multiprolab.Main, listener net.Listener) error {
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum, err := multiprolab.Do[string](r.Context(), app, "sum", r.FormValue("text"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, sum)
	})}
	done := make(chan error, 1)
	context.AfterFunc(ctx, func() { done <- server.Shutdown(context.WithoutCancel(ctx)) })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-done
}
