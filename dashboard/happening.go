package dashboard

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab"
)

// maxDetail is how much of the text of an event is kept, in bytes.
const maxDetail = 8 << 10

// happening is an event as the page shows it. It exists in main, and does not change once it is in
// a show.
type happening struct {
	Seq    uint64    `json:"seq"`   // its number in the show, from 1
	At     time.Time `json:"at"`    // when it happened
	Level  string    `json:"level"` // "debug", "info", "warn" or "error"
	Worker string    `json:"worker"`
	Title  string    `json:"title"`  // what has happened, in a word or two
	Text   string    `json:"text"`   // the rest in one line
	Detail string    `json:"detail"` // all of it, if that is more
}

// happened makes of an event what the page shows, or nil: that a process has been started is no
// news to people, who are told when it is ready.
func happened(e multiprolab.Event) *happening {
	switch e := e.(type) {
	case *multiprolab.WorkerReady:
		text := fmt.Sprintf("life %d, pid %d, after %v", e.Life, e.PID, e.Took.Round(time.Millisecond))
		if e.Spare != "" {
			text = fmt.Sprintf("life %d, pid %d, stood by as %s", e.Life, e.PID, e.Spare)
		}
		return &happening{At: e.At, Level: "debug", Worker: e.Worker, Title: "ready", Text: text}
	case *multiprolab.WorkerStopped:
		text := fmt.Sprintf("life %d, pid %d", e.Life, e.PID)
		return &happening{At: e.At, Level: "debug", Worker: e.Worker, Title: "stopped", Text: text}
	case *multiprolab.WorkerFailed:
		h := &happening{At: e.At, Level: "error", Worker: e.Worker, Title: "failed"}
		switch hang, hung := errors.AsType[*multiprolab.HangError](e.Err); {
		case e.Planned:
			h.Level, h.Title = "info", "killed on purpose"
		case hung && !hang.Silent:
			h.Level, h.Title = "warn", "hung"
		}
		h.say(e.Err)
		return h
	case *multiprolab.DeadLetter:
		text := fmt.Sprintf("%q from %s, %d bytes: %s", e.Type, e.Sender, e.Size, e.Reason)
		h := &happening{At: e.At, Level: "warn", Worker: e.Receiver, Title: "message not delivered to"}
		h.say(errors.New(text))
		return h
	case *multiprolab.HandlerFailed:
		h := &happening{At: e.At, Level: "error", Worker: e.Receiver, Title: "handler failed in"}
		h.say(fmt.Errorf("%q from %s: %w", e.Type, e.Sender, e.Err))
		return h
	case *multiprolab.ProgramEnding:
		h := &happening{At: e.At, Level: "info", Title: "the program ends"}
		if e.Failed {
			h.Level = "error"
		}
		h.say(e.Cause)
		return h
	case *multiprolab.EventsMissed:
		return &happening{At: time.Now(), Level: "warn", Title: fmt.Sprintf("%d events were missed", e.Count)}
	}
	return nil
}

// say sets the texts to those of an error.
func (h *happening) say(err error) {
	if err == nil {
		return
	}
	text := strings.TrimPrefix(err.Error(), "multiprolab: ")
	line, _, more := strings.Cut(text, "\n")
	h.Text = brief(line, 500)
	if more || len(line) > 120 {
		h.Detail = brief(text, maxDetail)
	}
}

// corpse is a dead task as the page shows it.
type corpse struct {
	ID       uint64    `json:"id,string"` // a number in JavaScript would lose the end of a long one
	Queue    string    `json:"queue"`
	Type     string    `json:"type"`
	At       time.Time `json:"at"`
	Cause    string    `json:"cause"`    // that of the last attempt, in one line
	Attempts []attempt `json:"attempts"` // the last ten
	Earlier  int       `json:"earlier"`  // how many attempts there were before these
}

// attempt is how an attempt at a dead task has ended.
type attempt struct {
	Worker string `json:"worker"`
	Error  string `json:"error"` // with the stack, if the worker has died of it
}

const (
	maxCorpses  = 100      // the newest
	maxAttempts = 10       // of each, the last
	maxStack    = 16 << 10 // of each attempt
	maxStacks   = 1 << 20  // of all together: the oldest are shorter
	minStack    = 500      // that is left of each
)

// graveyard is the list of dead tasks as the page shows it.
type graveyard struct {
	Total int      `json:"total"`
	Tasks []corpse `json:"tasks"` // the newest first
}

// bury makes the list.
func bury(dead []*multiprolab.DeadTask) graveyard {
	g := graveyard{Total: len(dead), Tasks: []corpse{}}
	left := maxStacks
	for i := len(dead) - 1; i >= 0 && len(g.Tasks) < maxCorpses; i-- {
		t := dead[i]
		c := corpse{ID: t.ID, Queue: t.Queue, Type: t.Type, At: t.At, Attempts: []attempt{}}
		if t.Err != nil {
			c.Earlier = max(0, len(t.Err.Attempts)-maxAttempts)
			for _, err := range t.Err.Attempts[c.Earlier:] {
				text := strings.TrimPrefix(err.Error(), "multiprolab: ")
				a := attempt{Worker: workerOf(err), Error: brief(text, max(minStack, min(maxStack, left)))}
				left -= len(a.Error)
				c.Attempts = append(c.Attempts, a)
				line, _, _ := strings.Cut(text, "\n")
				c.Cause = brief(line, 500)
			}
		}
		g.Tasks = append(g.Tasks, c)
	}
	return g
}

// workerOf returns the worker that an error is of, as far as it says.
func workerOf(err error) string {
	if died, ok := errors.AsType[*multiprolab.WorkerDiedError](err); ok && died != nil {
		return died.Worker
	}
	if remote, ok := errors.AsType[*multiprolab.RemoteError](err); ok && remote != nil {
		return remote.Worker
	}
	return ""
}

// deadVersion tells whether the list of dead tasks is another one than before.
func deadVersion(dead []*multiprolab.DeadTask) string {
	var sum uint64
	var newest time.Time
	for _, t := range dead {
		sum += t.ID
		if t.At.After(newest) {
			newest = t.At
		}
	}
	return fmt.Sprint(cmp.Or(len(dead), 0), " ", sum, " ", newest.UnixNano())
}
