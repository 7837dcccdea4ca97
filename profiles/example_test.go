package profiles_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/profiles"
)

func ExampleHandler() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true}) // nil for real processes
	app.RegisterWorker("thumbnailer", func(context.Context, *multiprolab.Worker) error { return nil }, nil)
	if err := app.Start(context.Background()); err != nil {
		fmt.Println(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/debug/pprof/", profiles.Handler(app, nil))
	server := httptest.NewServer(mux) // in a program http.ListenAndServe("localhost:6060", mux)
	defer server.Close()

	// go tool pprof http://localhost:6060/debug/pprof/thumbnailer/0/heap
	answer, err := http.Get(server.URL + "/debug/pprof/thumbnailer/0/heap")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(answer.Status, answer.Header.Get("Content-Disposition"), answer.Body.Close())
	fmt.Println(app.Close())
	// Output:
	// 200 OK attachment; filename="thumbnailer_0-heap" <nil>
	// <nil>
}
