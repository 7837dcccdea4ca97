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

	// mu guards every field below.
	mu sync.Mutex
	// present is what all who look at the moment are shown; nil if nobody does.
	present *show
	// clients is how many look.
	clients int
	// before is the history of the last show, for the one that comes next.
	before history
	// closing are the channels that are closed when a server is told to shut down.
	closing map[*http.Server]chan struct{}
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
	// history is the last minute, as far as somebody has looked.
	history history
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
			history: w.before.since(time.Now().Add(-span)),
		}
		w.before = nil
		go w.run(ctx, w.present) // ends with the last client, who waits for it
	}
	return w.present
}

// leave takes a client away. With the last one the show ends; its history stays, for who comes
// within a minute.
func (w *watch) leave(s *show) {
	w.mu.Lock()
	w.clients--
	last := w.clients == 0
	if last {
		w.present = nil
		s.mu.Lock()
		w.before = s.history
		s.mu.Unlock()
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
	s.mu.Lock()
	s.history = s.history.with(stats)
	s.mu.Unlock()
	s.tell(text)
}

// closes returns what is closed when the server of a request is told to shut down, so that it need
// not wait for those who look; nil if the server is not known.
func (w *watch) closes(r *http.Request) <-chan struct{} {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.closing[server]
	if c == nil {
		c = make(chan struct{})
		if w.closing == nil {
			w.closing = map[*http.Server]chan struct{}{}
		}
		w.closing[server] = c
		server.RegisterOnShutdown(sync.OnceFunc(func() { close(c) })) // Shutdown may be called again
	}
	return c
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
