package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab"
)

const (
	maxClients  = 64               // that look at the same time
	writeTime   = 10 * time.Second // that a message to a client may take; a client that is slower is dropped
	keptEvents  = 200              // for clients that come, or are slow
	gatherTime  = 50 * time.Millisecond
	retryClient = 2 * time.Second // after which a browser asks again
)

// watch is who looks at the page. It exists in main. Any goroutine may use it.
type watch struct {
	app      *multiprolab.Main // the program; it does not change
	interval time.Duration     // between two snapshots; it does not change

	// mu guards present and clients.
	mu sync.Mutex
	// present is what all who look at the moment are shown; nil if nobody does.
	present *show
	// clients is how many look.
	clients int
}

// show is what those are shown who look at the same time. It takes snapshots from when the first of
// them comes until the last one has gone. It exists in main. Any goroutine may use it.
type show struct {
	id   string             // tells it from others, for clients that come again; it does not change
	stop context.CancelFunc // ends it; it does not change
	done chan struct{}      // closed when it has ended

	// mu guards every other field.
	mu sync.Mutex
	// news is closed, and another one made, when there is something new.
	news chan struct{}
	// sample is the last snapshot as JSON, and number is its number, from 1.
	sample []byte
	// number is the number of the last snapshot.
	number uint64
	// events are the last events, the oldest first, keptEvents at most.
	events []*happening
	// told is how many events there were.
	told uint64
	// ended says that the program has ended; cause is why.
	ended bool
	// cause is why the program has ended, if it has.
	cause string
}

// enter adds a client. It returns nil if there are too many. The first client starts the show.
func (w *watch) enter() *show {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.clients >= maxClients {
		return nil
	}
	w.clients++
	if w.present == nil {
		ctx, cancel := context.WithCancel(context.Background())
		w.present = &show{
			id: fmt.Sprint(time.Now().UnixNano()), stop: cancel, done: make(chan struct{}), news: make(chan struct{}),
		}
		go w.run(ctx, w.present) // ends with the last client, who waits for it
	}
	return w.present
}

// leave takes a client away. With the last one the show ends.
func (w *watch) leave(s *show) {
	w.mu.Lock()
	w.clients--
	last := w.clients == 0
	if last {
		w.present = nil
	}
	w.mu.Unlock()
	if last {
		s.stop()
		<-s.done
	}
}

// run takes snapshots and events until the last client has gone or the program has ended.
func (w *watch) run(ctx context.Context, s *show) {
	defer close(s.done)
	events, err := w.app.Events(ctx)
	if err != nil { // in a worker, or another Main's
		s.end(err)
		return
	}
	tick := time.NewTicker(w.interval)
	defer tick.Stop()
	var gathered <-chan time.Time // fires when events that have come are to be told
	w.sample(s)
	for {
		select {
		case e, open := <-events:
			switch {
			case open:
				s.add(e)
				if gathered == nil {
					gathered = time.After(gatherTime)
				}
			case ctx.Err() == nil:
				w.sample(s)
				s.end(w.app.Cause())
				return
			default:
				return
			}
		case <-gathered:
			gathered = nil
			s.tell(nil)
		case <-tick.C:
			w.sample(s)
		case <-ctx.Done():
			return
		}
	}
}

// sample takes a snapshot, for all clients.
func (w *watch) sample(s *show) {
	stats := w.app.Stats()
	var dead uint64
	for i := range stats.Queues {
		dead += stats.Queues[i].Dead
	}
	version := "0"
	if dead > 0 {
		version = deadVersion(w.app.Tasks().Dead())
	}
	text, err := json.Marshal(struct {
		Stats *multiprolab.Stats `json:"stats"`
		Dead  string             `json:"dead"`
	}{stats, version})
	if err != nil {
		text = []byte("{}") // there is nothing in the types that could not be encoded
	}
	s.tell(text)
}

// tell says that there is something new: a snapshot or, without one, events.
func (s *show) tell(sample []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sample != nil {
		s.sample = sample
		s.number++
	}
	close(s.news)
	s.news = make(chan struct{})
}

// end says that the program has ended.
func (s *show) end(cause error) {
	s.mu.Lock()
	s.ended = true
	if cause != nil {
		s.cause = brief(cause.Error(), 1000)
	}
	s.mu.Unlock()
	s.tell(nil)
}

// add keeps an event.
func (s *show) add(e multiprolab.Event) {
	h := happened(e)
	if h == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told++
	h.Seq = s.told
	if len(s.events) >= keptEvents {
		s.events = append(s.events[:0:0], s.events[1:]...)
	}
	s.events = append(s.events, h)
}

// seen is how much of a show one client has been told. It exists in main; the goroutine of the
// client alone touches it.
type seen struct {
	number uint64 // of the last snapshot
	event  uint64 // the last event
}

// next returns what a client has not been told, and what is closed when there is more. A client
// that is slow gets the newest snapshot alone, and the events that are kept.
func (s *show) next(c *seen) (sample []byte, events []*happening, ended bool, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.number != s.number {
		sample, c.number = s.sample, s.number
	}
	for i, e := range s.events {
		if e.Seq > c.event {
			events = s.events[i:len(s.events):len(s.events)]
			c.event = s.told
			break
		}
	}
	return sample, events, s.ended, s.news
}

// hello is the first message to a client.
type hello struct {
	Show  string   `json:"show"`
	Title string   `json:"title"`
	Allow []Action `json:"allow"`
}

// serveEvents tells a client what goes on, until it leaves or the program ends.
func (p *page) serveEvents(w http.ResponseWriter, r *http.Request) {
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
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // proxies are to pass it on as it comes
	c := &stream{w: w, control: http.NewResponseController(w)}
	c.send("hello", hello{Show: s.id, Title: p.cfg.Title, Allow: p.allowed(r)})
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
	_ = c.control.SetWriteDeadline(time.Now().Add(writeTime)) // where there are no deadlines, the server has its own
	_, c.err = fmt.Fprintf(c.w, "retry: %d\nevent: %s\ndata: %s\n\n", retryClient.Milliseconds(), name, text)
	if c.err == nil {
		c.err = c.control.Flush()
	}
}
