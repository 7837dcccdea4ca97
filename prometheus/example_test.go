package prommultiprolab_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/multiprolab/multiprolab"
	prommultiprolab "github.com/multiprolab/multiprolab/prometheus"
)

func ExampleNewCollector() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true, Logger: slog.New(slog.DiscardHandler)})
	app.RegisterWorker("squarer", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "square", func(_ context.Context, n int) (int, error) { return n * n, nil })
		return nil
	}, nil)
	if err := app.Start(context.Background()); err != nil {
		fmt.Println(err)
	}
	fmt.Println(multiprolab.Do[int](context.Background(), app, "square", 12))

	registry := prometheus.NewRegistry()
	registry.MustRegister(prommultiprolab.NewCollector(app, nil))
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{})) // at /metrics in a program
	defer server.Close()
	families, err := registry.Gather()
	fmt.Println(err)
	for _, f := range families {
		if f.GetName() == "multiprolab_tasks_received_total" {
			fmt.Println(f.GetName(), f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	fmt.Println(app.Close())
	// Output:
	// 144 <nil>
	// <nil>
	// multiprolab_tasks_received_total 1
	// <nil>
}
