//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/multiprolab/multiprolab"
)

func init() { programs["leak"] = leak }

// leak has eight workers that all leak until the kernel takes them. With an argument each first moves itself into this
// control group.
func leak(args []string) {
	const workers = 8
	app := multiprolab.New(config(""))
	app.RegisterWorker("w", func(_ context.Context, w *multiprolab.Worker) error {
		if len(args) > 0 {
			if err := os.WriteFile(args[0]+"/cgroup.procs", []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
				return err
			}
		}
		multiprolab.HandleTask(w, "leak", func(context.Context, int) (int, error) {
			var kept [][]byte
			for {
				b := make([]byte, 4<<20)
				for i := 0; i < len(b); i += 4096 {
					b[i] = 1
				}
				kept = append(kept, b)
				if len(kept) > 1024 { // 4 GiB: the test has no limit, and must not take the machine along
					return len(kept), nil
				}
			}
		})
		multiprolab.HandleTask(w, "pid", func(context.Context, int) (int, error) { return os.Getpid(), nil })
		return nil
	}, &multiprolab.WorkerConfig{Count: workers, RestartLimit: multiprolab.RestartLimit{Restarts: 1000}})
	check(app.Start(context.Background()))
	var futures []*multiprolab.Future[int]
	for range workers {
		f, err := multiprolab.Submit[int](context.Background(), app, "leak", 1, nil)
		check(err)
		futures = append(futures, f)
	}
	for _, f := range futures {
		n, err := f.Wait(context.Background())
		var memory *multiprolab.MemoryLimitError
		switch {
		case errors.As(err, &memory) && memory.Kernel && memory.Died.Signal == "SIGKILL":
			fmt.Println("taken:", memory.Group, memory.Limit, strings.Contains(err.Error(), "the kernel's out-of-memory killer took a worker"))
		default:
			fmt.Println("FAIL:", n, err)
		}
	}
	_, err := multiprolab.Do[int](context.Background(), app, "pid", 1)
	check(err)
	fmt.Println("main lives:", app.Close())
}
