package dashboard

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// eventStream is the type of server-sent events.
const eventStream = "text/event-stream"

// hello is the first message to a client.
type hello struct {
	Show     string   `json:"show"`
	Program  string   `json:"program"` // tells the program from another one under the same address
	Title    string   `json:"title"`
	Allow    []Action `json:"allow"`
	Combine  bool     `json:"combine"`  // profiles of several processes are added up
	Interval float64  `json:"interval"` // seconds between two snapshots
}

// serveEvents tells a client what goes on, until it leaves or the program ends.
func (p *page) serveEvents(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", eventStream)
		return
	}
	s := p.watch.enter()
	if s == nil {
		w.Header().Set("Retry-After", "10")
		http.Error(
			w,
			fmt.Sprintf("dashboard: %d clients are looking already", maxClients),
			http.StatusServiceUnavailable,
		)
		return
	}
	defer p.watch.leave(s)
	w.Header().Set("Content-Type", eventStream)
	w.Header().Set("X-Accel-Buffering", "no") // proxies are to pass it on as it comes
	c := &stream{w: w, control: http.NewResponseController(w)}
	closing, allowed := p.watch.closes(r), p.allowed(r)
	if errors.Is(c.control.Flush(), http.ErrNotSupported) {
		text := "dashboard: what the page is told cannot be flushed, since a middleware hides the http.Flusher: " +
			"give its ResponseWriter a method Unwrap, or leave the middleware out"
		http.Error(w, text, http.StatusInternalServerError)
		return
	}
	c.send("hello", hello{
		Show: s.id, Program: p.program, Title: p.cfg.Title, Allow: allowed, Combine: p.cfg.Combine != nil,
		Interval: p.cfg.Interval.Seconds(),
	})
	s.mu.Lock()
	before := s.history.texts()
	s.mu.Unlock()
	if len(before) > 0 {
		c.send("history", before)
	}
	var at seen
	for c.err == nil {
		sample, events, ended, more := s.next(&at)
		if sample != nil {
			c.raw("sample", sample)
		}
		if len(events) > 0 {
			c.send("events", events)
		}
		if ended {
			s.mu.Lock()
			cause := s.cause
			s.mu.Unlock()
			c.send("ended", map[string]string{"cause": cause})
			return
		}
		select {
		case <-more:
		case <-closing:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// stream writes server-sent events. It exists in main; the goroutine of its client alone uses it.
type stream struct {
	w       http.ResponseWriter      // gets the messages
	control *http.ResponseController // that of w
	err     error                    // why nothing more is written
}

// send writes a message with a value as JSON.
func (c *stream) send(name string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		c.err = err
		return
	}
	c.raw(name, text)
}

// raw writes a message with JSON, which has no line breaks.
func (c *stream) raw(name string, text []byte) {
	if c.err != nil {
		return
	}
	// where there are no deadlines, the server has its own
	_ = c.control.SetWriteDeadline(time.Now().Add(writeTime))
	_, c.err = fmt.Fprintf(c.w, "retry: %d\nevent: %s\ndata: %s\n\n", retryClient.Milliseconds(), name, text)
	if c.err == nil {
		c.err = c.control.Flush()
	}
	if c.err == nil {
		_ = c.control.SetWriteDeadline(time.Time{}) // it would end a stream of HTTP/2 that has nothing to say
	}
}
