package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/multiprolab/multiprolab"
)

// run runs an app for an example: in one process, so that the example shows its output anywhere.
func run(
	setup func(context.Context, *multiprolab.Worker) error,
	action func(ctx context.Context, app *multiprolab.Main) error,
) {
	app := multiprolab.New(&multiprolab.Config{InProcess: true})
	app.RegisterWorker("worker", setup, nil)
	app.After(0, func(ctx context.Context) error {
		defer app.Exit()
		return action(ctx, app)
	})
	if err := app.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
}

func Example() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true}) // nil for real processes
	app.RegisterWorker("squarer", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "square", func(ctx context.Context, n int) (int, error) { return n * n, nil })
		return nil
	}, &multiprolab.WorkerConfig{Count: 4})
	app.After(0, func(ctx context.Context) error {
		n, err := multiprolab.Do[int](ctx, app, "square", 12)
		fmt.Println(n, err)
		app.Exit()
		return nil
	})
	if err := app.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: 144 <nil>
}

func ExampleSend() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true})
	app.RegisterWorker("greeter", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.Handle(w, "greet", func(ctx context.Context, name string) error {
			return multiprolab.Send(ctx, w, "main", "greeted", "hello "+name)
		})
		return nil
	}, nil)
	multiprolab.Handle(app, "greeted", func(ctx context.Context, text string) error {
		fmt.Println(multiprolab.MessageFrom(ctx).Sender, "says", text)
		app.Exit()
		return nil
	})
	app.After(0, func(ctx context.Context) error {
		return multiprolab.Send(ctx, app, "greeter", "greet", "gopher")
	})
	if err := app.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: greeter/0 says hello gopher
}

func ExampleCall() {
	setup := func(ctx context.Context, w *multiprolab.Worker) error {
		counter := 0 // handlers run one at a time: no lock
		multiprolab.HandleCall(w, "add", func(ctx context.Context, n int) (int, error) {
			counter += n
			return counter, nil
		})
		return nil
	}
	run(setup, func(ctx context.Context, app *multiprolab.Main) error {
		for _, n := range []int{1, 2, 3} {
			sum, err := multiprolab.Call[int](ctx, app, "worker", "add", n)
			fmt.Println(sum, err)
		}
		_, err := multiprolab.Call[int](ctx, app, "worker", "subtract", 1)
		fmt.Println(err)
		return nil
	})
	// Output:
	// 1 <nil>
	// 3 <nil>
	// 6 <nil>
	// multiprolab: worker/0 has no handler for the call type "subtract": register it with HandleCall (registered are add)
}

func ExampleMap() {
	setup := func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "length", func(ctx context.Context, s string) (int, error) {
			if s == "" {
				return 0, errors.New("it is empty")
			}
			return len(s), nil
		})
		return nil
	}
	run(setup, func(ctx context.Context, app *multiprolab.Main) error {
		words := []string{"one", "three", "", "eleven"}
		for n, err := range multiprolab.Map[int](ctx, app, "length", slices.Values(words), nil) {
			fmt.Println(n, err)
		}
		return nil
	})
	// Output:
	// 3 <nil>
	// 5 <nil>
	// 0 multiprolab: item 2: worker/0: "length": it is empty
	// 6 <nil>
}

func ExampleSubmit() {
	setup := func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "count", func(ctx context.Context, to int) (string, error) {
			for i := range to {
				if err := multiprolab.Progress(ctx, i); err != nil {
					return "", err
				}
			}
			return "done", nil
		})
		return nil
	}
	run(setup, func(ctx context.Context, app *multiprolab.Main) error {
		future, err := multiprolab.Submit[string](ctx, app, "count", 3, &multiprolab.TaskOptions{
			OnProgress: func(ctx context.Context, m *multiprolab.Message) {
				var i int
				fmt.Println("progress", m.Decode(&i), i)
			},
		})
		if err != nil {
			return err
		}
		fmt.Println(future.Wait(ctx))
		return nil
	})
	// Output:
	// progress <nil> 0
	// progress <nil> 1
	// progress <nil> 2
	// done <nil>
}

func ExampleDoWith() {
	setup := func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "wait", func(ctx context.Context, _ struct{}) (string, error) {
			<-ctx.Done() // with a real process, an endless loop would be killed
			return "", ctx.Err()
		})
		return nil
	}
	run(setup, func(ctx context.Context, app *multiprolab.Main) error {
		_, err := multiprolab.DoWith[string](ctx, app, "wait", nil, &multiprolab.TaskOptions{Timeout: time.Millisecond})
		var timeout *multiprolab.TimeoutError
		fmt.Println(errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded))
		return nil
	})
	// Output: true true
}

func ExampleTaskQueue_Get() {
	setup := func(ctx context.Context, w *multiprolab.Worker) error {
		w.PullTasks("multiply")
		w.Action(0, func(ctx context.Context) error {
			task, err := w.Tasks().Get(ctx)
			if err != nil {
				return err
			}
			var pair [2]int
			if err := task.Decode(&pair); err != nil {
				return task.Fail(err)
			}
			return task.Done(pair[0] * pair[1])
		})
		return nil
	}
	run(setup, func(ctx context.Context, app *multiprolab.Main) error {
		fmt.Println(multiprolab.Do[int](ctx, app, "multiply", [2]int{6, 7}))
		return nil
	})
	// Output: 42 <nil>
}

func ExampleWorker_Action() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true})
	app.RegisterWorker("clock", func(ctx context.Context, w *multiprolab.Worker) error {
		ticks := 0
		w.Action(time.Millisecond, func(ctx context.Context) error {
			ticks++
			return multiprolab.Send(ctx, w, "main", "tick", ticks)
		})
		return nil
	}, nil)
	multiprolab.Handle(app, "tick", func(ctx context.Context, n int) error {
		if n <= 3 {
			fmt.Println("tick", n)
		}
		if n == 3 {
			app.Exit()
		}
		return nil
	})
	if err := app.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// tick 1
	// tick 2
	// tick 3
}

func ExampleWorker_Loop() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true})
	app.RegisterWorker("server", func(ctx context.Context, w *multiprolab.Worker) error {
		requests := make(chan string, 1)
		multiprolab.Handle(w, "request", func(ctx context.Context, s string) error {
			requests <- s
			return nil
		})
		w.Loop(func(ctx context.Context) error { // it has the main thread of the process
			for {
				select {
				case s := <-requests:
					if err := multiprolab.Send(ctx, w, "main", "served", s); err != nil {
						return err
					}
				case <-ctx.Done(): // exit was requested
					return nil
				}
			}
		})
		return nil
	}, nil)
	multiprolab.Handle(app, "served", func(ctx context.Context, s string) error {
		fmt.Println("served", s)
		app.Exit()
		return nil
	})
	app.After(0, func(ctx context.Context) error {
		return multiprolab.Send(ctx, app, "server", "request", "page")
	})
	if err := app.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: served page
}

// A program with a main loop of its own starts the workers and closes them.
func ExampleMain_Start() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true, Shutdown: multiprolab.DrainQueue})
	app.RegisterWorker("echoer", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleCall(w, "echo", func(ctx context.Context, s string) (string, error) { return s, nil })
		w.OnExit(func(ctx context.Context) error {
			fmt.Println("the worker cleans up")
			return nil
		})
		return nil
	}, nil)
	if err := app.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(multiprolab.Call[string](context.Background(), app, "echoer", "echo", "hello"))
	fmt.Println(app.Close())
	// Output:
	// hello <nil>
	// the worker cleans up
	// <nil>
}

func ExampleConfig_onEvent() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true, OnEvent: func(e multiprolab.Event) {
		if letter, ok := e.(*multiprolab.DeadLetter); ok {
			fmt.Println(letter.Type, "from", letter.Sender, "to", letter.Receiver)
		}
	}})
	app.RegisterWorker("deaf", func(ctx context.Context, w *multiprolab.Worker) error { return nil }, nil)
	app.After(0, func(ctx context.Context) error {
		defer app.Exit()
		return multiprolab.Send(ctx, app, "deaf", "hello", nil)
	})
	if err := app.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: hello from main to deaf/0
}
