package otelmultiprolab_test

import (
	"context"
	"fmt"
	"strings"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/multiprolab/multiprolab"
	otelmultiprolab "github.com/multiprolab/multiprolab/otel"
)

func Example() {
	exporter := tracetest.NewInMemoryExporter() // in a program one that sends spans elsewhere, in a batch
	tracing := &otelmultiprolab.Config{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))}

	app := multiprolab.New(&multiprolab.Config{InProcess: true}) // nil for real processes
	app.RegisterWorker("shouter", func(_ context.Context, w *multiprolab.Worker) error {
		otelmultiprolab.Use(w, tracing) // of its own process: make the TracerProvider here
		multiprolab.HandleTask(w, "shout", func(_ context.Context, s string) (string, error) {
			return strings.ToUpper(s), nil
		})
		return nil
	}, nil)
	otelmultiprolab.Use(app, tracing)
	if err := app.Start(context.Background()); err != nil {
		fmt.Println(err)
	}
	fmt.Println(multiprolab.Do[string](context.Background(), app, "shout", "hello"))
	if err := app.Close(); err != nil {
		fmt.Println(err)
	}
	trace := exporter.GetSpans()[0].SpanContext.TraceID()
	for _, span := range exporter.GetSpans() {
		fmt.Println(span.Name, span.SpanKind, span.SpanContext.TraceID() == trace)
	}
	// Output:
	// HELLO <nil>
	// process shout consumer true
	// submit shout producer true
}
