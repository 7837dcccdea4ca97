package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab"
)

// Meal is a task of the cooks.
type Meal struct {
	Name  string
	Takes time.Duration // to cook
}

// errBurnt is what becomes of toast.
var errBurnt = errors.New("the toast is burnt")

// cook is the setup function of the workers that do the work. It runs in their processes only.
func cook(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "meal", func(ctx context.Context, m Meal) (string, error) {
		select { // honest work: it looks at its context
		case <-time.After(m.Takes):
			return m.Name + ", cooked by " + w.Name(), nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	})
	multiprolab.HandleTask(w, "crash", func(context.Context, int) (int, error) {
		new(sync.Mutex).Unlock() // a fatal error, which recover does not catch
		return 0, nil
	})
	multiprolab.HandleTask(w, "spin", func(context.Context, int) (int, error) {
		for n := 0; ; n++ { // a goroutine of this kind is there for ever
		}
	})
	multiprolab.HandleTask(w, "hoard", func(context.Context, int) (int, error) {
		var all [][]byte
		for { // until the limit of this process, which is not that of the program
			all = append(all, make([]byte, 16<<20))
			for i := range all[len(all)-1] {
				all[len(all)-1][i] = 1
			}
		}
	})
	multiprolab.HandleTask(w, "toast", func(context.Context, int) (int, error) { return 0, errBurnt })
	multiprolab.HandleCall(w, "who", func(context.Context, struct{}) (int, error) { return os.Getpid(), nil })
	return nil
}

// bell is the setup function of the worker that talks to the cooks.
func bell(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleCall(w, "ring", func(ctx context.Context, name string) (string, error) {
		pid, err := multiprolab.Call[int](ctx, w, name, "who", struct{}{})
		return fmt.Sprintf("%s (pid %d) has called %s (pid %d)", w.Name(), os.Getpid(), name, pid), err
	})
	return nil
}
