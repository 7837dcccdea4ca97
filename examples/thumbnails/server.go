package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab"
)

const (
	// from the deadline of a picture until its decoder is killed; decoders would not notice anyway
	grace    = 200 * time.Millisecond
	patience = 5 * time.Second // for requests that are under way when the program ends
	maxWidth = 1024            // pixels
)

//go:embed page.html
var pageHTML string

// server is the web server. It exists in the process of the worker "server". Its methods run on the
// goroutines of net/http.
type server struct {
	worker   *multiprolab.Worker
	deadline time.Duration
	files    map[string]string // the paths of the real pictures, by name
	made     map[string][]byte // see hostile.go
	names    []string          // of both
	page     *template.Template
	record   *record
}

// serve is the setup function of the server. The event loop of net/http gets the main thread of
// this process; messages are handled beside it.
func serve(ctx context.Context, w *multiprolab.Worker, addr string, deadline time.Duration, dirs []string) error {
	files, err := findPictures(ctx, dirs)
	if err != nil {
		return err
	}
	page, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return err
	}
	s := &server{worker: w, deadline: deadline, files: files, made: madePictures(), page: page, record: newRecord()}
	for name := range s.files {
		s.names = append(s.names, name)
	}
	for name := range s.made {
		s.names = append(s.names, name)
	}
	slices.Sort(s.names)

	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err // Run returns it, if this is the first server
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.serveIndex)
	mux.HandleFunc("GET /thumb", s.serveThumb)
	mux.HandleFunc("GET /outcome", s.serveOutcome)
	mux.HandleFunc("GET /stats", s.serveStats)

	multiprolab.HandleCall(w, "site", func(context.Context, struct{}) (Site, error) {
		return Site{URL: "http://" + listener.Addr().String(), Pictures: s.names}, nil
	})
	multiprolab.Handle(w, "hello", func(_ context.Context, d Decoder) error {
		s.record.add(d)
		return nil
	})
	w.Loop(func(ctx context.Context) error {
		return listenUntil(ctx, &http.Server{Handler: mux}, listener)
	})
	return nil
}

// listenUntil serves until ctx ends. Requests that are under way then are finished.
func listenUntil(ctx context.Context, srv *http.Server, listener net.Listener) error {
	finished := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(finished)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close() // this ends the contexts of the requests, and with them their tasks
		}
	})
	if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-finished
	return nil
}

// serveThumb answers with a thumbnail, or with what became of the picture.
func (s *server) serveThumb(rw http.ResponseWriter, r *http.Request) {
	name := r.FormValue("name")
	width, err := strconv.Atoi(r.FormValue("width"))
	if err != nil || width < 1 || width > maxWidth {
		http.Error(rw, fmt.Sprintf("width must be a number from 1 to %d", maxWidth), http.StatusBadRequest)
		return
	}
	data, err := s.read(name)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusNotFound)
		return
	}

	var by Decoder
	begin := time.Now()
	thumb, err := multiprolab.DoWith[[]byte](
		r.Context(),
		s.worker,
		"thumbnail",
		Picture{Name: name, Data: data, Width: width},
		&multiprolab.TaskOptions{
			Timeout: s.deadline,
			Grace:   grace,
			OnProgress: func(_ context.Context, m *multiprolab.Message) { // on this goroutine
				if m.Decode(&by) == nil {
					s.record.set(name, outcome{Kind: beingDecoded, Decoder: by})
				}
			},
		},
	)
	o := outcomeOf(by, err)
	o.Took = time.Since(begin)
	s.record.set(name, o)

	rw.Header().Set("X-Outcome", o.Kind)
	rw.Header().Set("X-Decoder", o.Decoder.Name)
	rw.Header().Set("X-Decoder-Pid", strconv.Itoa(o.Decoder.PID))
	if err != nil {
		http.Error(rw, err.Error(), o.Status) // all of it: this is a demonstration
		return
	}
	rw.Header().Set("Content-Type", "image/png")
	rw.Header().Set("X-Content-Type-Options", "nosniff") // a decoder that has been taken over could send anything
	_, _ = rw.Write(thumb)                               // an error means that the browser has left
}

// outcomeOf says what became of a picture that a decoder has begun with.
func outcomeOf(by Decoder, err error) outcome {
	if err == nil {
		return outcome{Kind: "thumbnail", Status: http.StatusOK, Decoder: by}
	}
	o := outcome{Kind: "failed", Status: http.StatusInternalServerError, Text: brief(err.Error()), Decoder: by}
	var (
		refused  *multiprolab.RemoteError
		died     *multiprolab.WorkerDiedError
		timedOut *multiprolab.TimeoutError
	)
	switch {
	case errors.As(err, &refused):
		o.Kind, o.Status = "refused", http.StatusUnprocessableEntity
	case errors.As(err, &died):
		o.Kind, o.Status = "decoder died", http.StatusBadGateway
		o.Decoder = Decoder{died.Worker, died.PID} // its progress may have died with it
	case errors.As(err, &timedOut):
		o.Kind, o.Status = "timed out", http.StatusGatewayTimeout
	case errors.Is(err, multiprolab.ErrStopped):
		o.Kind, o.Status = "stopped", http.StatusServiceUnavailable
	case errors.Is(err, context.Canceled):
		o.Kind, o.Status = "given up", http.StatusServiceUnavailable // nobody sees it: the browser has left
	}
	return o
}

// brief is the beginning of an error's text: what came to an end, and the first words of its last.
// Beyond them come the stacks of the dead.
func brief(text string) string {
	lines := strings.SplitN(strings.TrimSpace(text), "\n", 3)
	return strings.Join(lines[:min(2, len(lines))], " ")
}

// serveIndex shows all pictures.
func (s *server) serveIndex(rw http.ResponseWriter, _ *http.Request) {
	type item struct {
		Name    string
		Hostile bool
	}
	var items []item
	for _, name := range s.names {
		items = append(items, item{name, strings.HasPrefix(name, "hostile-")})
	}
	slices.SortStableFunc(items, func(a, b item) int { // the interesting ones first
		switch {
		case a.Hostile == b.Hostile:
			return 0
		case a.Hostile:
			return -1
		}
		return 1
	})
	_ = s.page.Execute(rw, struct {
		Deadline time.Duration
		Items    []item
	}{s.deadline, items})
}

// serveOutcome says in words what has become of a picture.
func (s *server) serveOutcome(rw http.ResponseWriter, r *http.Request) {
	_, _ = fmt.Fprint(rw, s.record.outcome(r.FormValue("name")))
}

func (s *server) serveStats(rw http.ResponseWriter, _ *http.Request) {
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(s.record.stats())
}

// read returns the bytes of a picture. Only names that are known lead to a file.
func (s *server) read(name string) ([]byte, error) {
	if data, ok := s.made[name]; ok {
		return data, nil
	}
	if path, ok := s.files[name]; ok {
		return os.ReadFile(path)
	}
	return nil, fmt.Errorf("there is no picture %q", name)
}

// findPictures looks for pictures in the directories, or in those of the Go distribution, and
// returns their paths by name.
func findPictures(ctx context.Context, dirs []string) (map[string]string, error) {
	if len(dirs) == 0 {
		out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
		if err != nil {
			return nil, fmt.Errorf(
				"the Go distribution with its pictures was not found: give a directory with pictures as an "+
					"argument: %w",
				err,
			)
		}
		root := filepath.Join(strings.TrimSpace(string(out)), "src", "image")
		dirs = []string{filepath.Join(root, "testdata"), filepath.Join(root, "png", "testdata")}
	}
	files := map[string]string{}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			switch filepath.Ext(e.Name()) {
			case ".png", ".jpg", ".jpeg", ".gif":
				files[e.Name()] = filepath.Join(dir, e.Name())
			}
		}
	}
	return files, nil
}
