package multiprolab_test

import (
	"context"
	"log/slog"
	"os"

	"github.com/multiprolab/multiprolab"
)

// What a worker logs is in main's log, with the name of the worker and, if it is logged with the
// context of a task, the task.
func ExampleWorker_Logger() {
	plain := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "pid" { // which are others each time
			return slog.Attr{}
		}
		return a
	}}
	app := multiprolab.New(&multiprolab.Config{
		InProcess: true, // leave it out for real processes, where slog.Default is the worker's logger
		Logger:    slog.New(slog.NewTextHandler(os.Stdout, plain)),
	})
	app.RegisterWorker("thumbnailer", func(ctx context.Context, w *multiprolab.Worker) error {
		log := w.Logger().With("size", 128)
		multiprolab.HandleTask(w, "thumbnail", func(ctx context.Context, path string) (int, error) {
			log.InfoContext(ctx, "made a thumbnail", "path", path)
			return 0, nil
		})
		return nil
	}, nil)
	app.After(0, func(ctx context.Context) error {
		_, err := multiprolab.Do[int](ctx, app, "thumbnail", "cat.jpg")
		app.Exit()
		return err
	})
	if err := app.Run(context.Background()); err != nil {
		slog.Error("run", "error", err)
	}
	// Output:
	// level=INFO msg="made a thumbnail" worker=thumbnailer/0 life=1 task.id=1 task.type=thumbnail size=128 path=cat.jpg
}
