//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/multiprolab/multiprolab"
)

func init() { programs["status"] = status }

// status has somebody else take the exit statuses of its workers, replaces them by plan again and again, and then has one die.
func status(args []string) {
	switch args[0] {
	case "ignored":
		signal.Ignore(syscall.SIGCHLD)
	case "all ignored":
		signal.Ignore()
	case "reaped":
		chld := make(chan os.Signal, 10)
		signal.Notify(chld, syscall.SIGCHLD)
		go func() { // ends with the process
			for range chld {
				for {
					if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
						break
					}
				}
			}
		}()
	case "reaped at once":
		go func() { // ends with the process
			for {
				if _, err := syscall.Wait4(-1, nil, 0, nil); err != nil {
					time.Sleep(time.Millisecond) // there are no children
				}
			}
		}()
	}
	app := multiprolab.New(config(""))
	app.RegisterWorker("w", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "life", func(context.Context, struct{}) (int, error) { return w.Life(), nil })
		multiprolab.HandleTask(w, "start", func(context.Context, struct{}) (int, error) {
			c := exec.Command("sleep", "1000")
			err := c.Start()
			return c.Process.Pid, err
		})
		multiprolab.HandleTask(w, "run", func(context.Context, struct{}) (int, error) { return 0, exec.Command("true").Run() })
		multiprolab.HandleTask(w, "die", func(context.Context, struct{}) (int, error) { os.Exit(7); return 0, nil })
		return nil
	}, &multiprolab.WorkerConfig{MaxTasks: 1, RestartDelay: time.Millisecond, RestartMaxDelay: time.Millisecond})
	app.After(0, func(ctx context.Context) error {
		defer app.Exit()
		if args[0] == "ignored after the start" {
			signal.Ignore(syscall.SIGCHLD)
		}
		child, err := multiprolab.Do[int](ctx, app, "start", nil) // its worker is replaced after this one task
		check(err)
		for range 25 { // more than WorkerConfig.RestartLimit.Restarts
			_, err := multiprolab.Do[int](ctx, app, "life", nil)
			check(err)
		}
		for ; syscall.Kill(child, 0) == nil; time.Sleep(time.Millisecond) {
			if stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child)); containsState(stat, 'Z') {
				break
			}
		}
		if args[0] == "kept" { // in the others the worker does the same to itself
			_, err = multiprolab.Do[int](ctx, app, "run", nil)
			check(err)
		}
		_, err = multiprolab.Do[int](ctx, app, "die", nil)
		fmt.Println("died:", err)
		return nil
	})
	fmt.Println("Run:", app.Run(context.Background()))
}

// containsState reports whether a line of /proc/PID/stat has a state.
func containsState(stat []byte, state byte) bool {
	for i := 0; i+2 < len(stat); i++ {
		if stat[i] == ')' && stat[i+1] == ' ' && stat[i+2] == state {
			return true
		}
	}
	return false
}
