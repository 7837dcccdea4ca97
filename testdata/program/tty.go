//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/multiprolab/multiprolab"
)

func init() { programs["tty"] = tty }

// tty has a worker use the terminal, in the background of which it is.
func tty([]string) {
	app := multiprolab.New(nil)
	app.RegisterWorker("w", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "do", func(_ context.Context, what string) (string, error) {
			switch what {
			case "print":
				_, err := fmt.Println("the worker prints")
				return "", err
			case "print by a command":
				cmd := exec.Command("sh", "-c", "echo a command prints")
				cmd.Stdout = os.Stdout
				return "", cmd.Run()
			case "write to the terminal":
				return "", os.WriteFile("/dev/tty", []byte("the worker writes\n"), 0)
			case "read from the terminal":
				f, err := os.Open("/dev/tty")
				if err != nil {
					return "", err
				}
				defer f.Close()
				_, err = f.Read(make([]byte, 1))
				return "", err
			case "read by a command":
				out, err := exec.Command("sh", "-c", "read line </dev/tty").CombinedOutput()
				return string(out), err
			case "set the terminal by a command":
				cmd := exec.Command("stty", "tostop")
				cmd.Stdin, _ = os.Open("/dev/tty")
				return "", cmd.Run()
			}
			return "", fmt.Errorf("no such thing: %s", what)
		})
		return nil
	}, &multiprolab.WorkerConfig{HeartbeatTimeout: 5 * time.Second}) // bounds a failure
	check(app.Start(context.Background()))
	for _, what := range []string{"print", "print by a command", "write to the terminal", "read from the terminal", "read by a command", "set the terminal by a command"} {
		out, err := multiprolab.Do[string](context.Background(), app, "do", what)
		fmt.Printf("%s: %s%v\n", what, out, err)
	}
	fmt.Println("closed:", app.Close())
}
