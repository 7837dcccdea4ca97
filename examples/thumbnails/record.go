package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// beingDecoded is the kind of an outcome that is still to come.
const beingDecoded = "being decoded"

// outcome is what has become of a picture.
type outcome struct {
	Kind    string // "thumbnail", "refused", "decoder died", "timed out" ...
	Status  int    // of HTTP
	Text    string // of the error
	Decoder Decoder
	Took    time.Duration
}

func (o outcome) String() string {
	by := fmt.Sprintf("by %s (pid %d)", o.Decoder.Name, o.Decoder.PID)
	switch {
	case o.Kind == "":
		return "not asked for yet"
	case o.Kind == beingDecoded:
		return fmt.Sprintf("%s %s", o.Kind, by)
	case o.Decoder.PID == 0:
		by = "before it came to a decoder"
	}
	s := fmt.Sprintf("%d %s in %v %s", o.Status, o.Kind, o.Took.Round(time.Millisecond), by)
	if o.Text != "" {
		s += ": " + o.Text
	}
	return s
}

// record is what the server remembers. It exists in the server process. All its methods may be
// called from any goroutine: requests and messages come on different ones.
type record struct {
	mu       sync.Mutex
	outcomes map[string]outcome // by picture
	counts   map[string]int     // by kind of outcome
	decoders map[string][]int   // the pids of each decoder, the newest last
}

func newRecord() *record {
	return &record{outcomes: map[string]outcome{}, counts: map[string]int{}, decoders: map[string][]int{}}
}

// set notes what has become of a picture.
func (r *record) set(picture string, o outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes[picture] = o
	if o.Kind != beingDecoded {
		r.counts[o.Kind]++
	}
}

// outcome returns what has become of a picture.
func (r *record) outcome(picture string) outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outcomes[picture]
}

// add notes a new decoder process.
func (r *record) add(d Decoder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.decoders[d.Name] = append(r.decoders[d.Name], d.PID)
}

// stats is the answer to GET /stats.
type stats struct {
	Outcomes map[string]int   `json:"outcomes"` // how many of each kind
	Decoders map[string][]int `json:"decoders"` // the pids that each decoder has had, the newest last
}

func (r *record) stats() stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := stats{Outcomes: maps.Clone(r.counts), Decoders: maps.Clone(r.decoders)}
	for name, pids := range s.Decoders {
		s.Decoders[name] = slices.Clone(pids)
	}
	return s
}
