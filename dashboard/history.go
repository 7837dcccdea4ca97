package dashboard

import (
	"encoding/json"
	"time"

	"github.com/multiprolab/multiprolab"
)

const (
	span     = time.Minute            // that the page shows of the past
	density  = 900 * time.Millisecond // between two moments, at least
	glimpses = 100                    // workers, and queues, in a moment: as many lanes as the page draws
)

// history is the last minute, for clients that come: the moments of a show, the oldest first. It
// exists in main; who has it guards it.
type history []moment

// moment is what is kept of a snapshot. It does not change.
type moment struct {
	at   time.Time       // when the snapshot was taken
	text json.RawMessage // a past
}

// past is what the page needs of an old snapshot: who ran what, and the figures that it draws as
// lines. It is multiprolab.Stats with less in it.
type past struct {
	Time     time.Time                `json:"time"`
	Started  time.Time                `json:"started"`
	Main     multiprolab.ProcessStats `json:"main"`
	Workers  []pastWorker             `json:"workers"`
	Queues   []pastQueue              `json:"queues"`
	Tasks    multiprolab.TaskStats    `json:"tasks"`
	Messages multiprolab.MessageStats `json:"messages"`
	Wire     multiprolab.WireStats    `json:"wire"`
	Partial  bool                     `json:"partial"` // there were more workers
}

// pastWorker is a multiprolab.WorkerStats with less in it.
type pastWorker struct {
	Name     string                     `json:"name"`
	Index    int                        `json:"index"`
	State    multiprolab.WorkerState    `json:"state"`
	Process  multiprolab.ProcessStats   `json:"process"`
	Running  []multiprolab.RunningStats `json:"running,omitempty"`
	Tasks    uint64                     `json:"tasks"`
	Busy     time.Duration              `json:"busy"`
	Messages uint64                     `json:"messages"`
	Death    *pastDeath                 `json:"last_death,omitempty"`
}

// pastDeath is a multiprolab.DeathStats with less in it.
type pastDeath struct {
	Time  time.Time              `json:"time"`
	Cause multiprolab.DeathCause `json:"cause"`
}

// pastQueue is a multiprolab.QueueStats with less in it.
type pastQueue struct {
	Name  string `json:"name"`
	Ready uint64 `json:"ready"`
	multiprolab.TaskStats
}

// with returns the history with a snapshot added, and without what is too old.
func (h history) with(s *multiprolab.Stats) history {
	h = h.since(s.Time.Add(-span))
	if len(h) > 0 && s.Time.Sub(h[len(h)-1].at) < density {
		return h
	}
	p := past{
		Time: s.Time, Started: s.Started, Main: s.Main, Tasks: s.Tasks, Messages: s.Messages, Wire: s.Wire,
		Partial: len(s.Workers) > glimpses,
	}
	for i := range s.Workers[:min(glimpses, len(s.Workers))] {
		w := &s.Workers[i]
		one := pastWorker{
			Name: w.Name, Index: w.Index, State: w.State, Process: w.Process, Running: w.Running,
			Tasks: w.Tasks, Busy: w.Busy, Messages: w.Messages,
		}
		if w.LastDeath != nil && s.Time.Sub(w.LastDeath.Time) < span {
			one.Death = &pastDeath{w.LastDeath.Time, w.LastDeath.Cause}
		}
		p.Workers = append(p.Workers, one)
	}
	for i := range s.Queues[:min(glimpses, len(s.Queues))] {
		q := &s.Queues[i]
		p.Queues = append(p.Queues, pastQueue{q.Name, q.Ready, q.TaskStats})
	}
	text, err := json.Marshal(p)
	if err != nil {
		return h // there is nothing in the types that could not be encoded
	}
	return append(h, moment{s.Time, text})
}

// since returns the part of the history that is not older than a time. The rest can be collected.
func (h history) since(t time.Time) history {
	for i, m := range h {
		if m.at.After(t) {
			if i == 0 {
				return h
			}
			return append(make(history, 0, len(h)), h[i:]...)
		}
	}
	return nil
}

// texts are the moments as the page gets them.
func (h history) texts() []json.RawMessage {
	texts := make([]json.RawMessage, len(h))
	for i, m := range h {
		texts[i] = m.text
	}
	return texts
}
