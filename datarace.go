package multiprolab

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// This file sees to it that a data race in a worker does not stay green: the race detector says so
// by the exit status of the worker's process, which nobody would look at after a goodbye. It all
// happens in main.

// raceReport begins each report of the race detector.
const raceReport = "==================\nWARNING: DATA RACE\n"

// racedReason is what the error of a worker says of that.
const racedReason = "the race detector has found a data race in it (its report is on stderr)"

// maxRaces is how many data races Run tells of at most, each of another life of a worker.
const maxRaces = 10

// raceStatus is the exit status of a process in which the race detector has found something:
// exitcode in GORACE, by default 66 (https://go.dev/doc/articles/race_detector#Options). Zero means
// that it does not say so.
func raceStatus(env []string) int {
	status := 66
	for _, e := range env {
		options, ok := strings.CutPrefix(e, "GORACE=")
		if !ok {
			continue
		}
		status = 66
		for option := range strings.FieldsSeq(options) {
			if text, ok := strings.CutPrefix(option, "exitcode="); ok {
				status, _ = strconv.Atoi(text) // the race detector does not take what is no number either
			}
		}
	}
	return status
}

// raceStatus is that of the worker's process.
func (b *processBody) raceStatus() int {
	env := b.env
	if env == nil {
		env = os.Environ()
	}
	return raceStatus(env)
}

// raced reports whether the race detector has found something in the process, which has ended: by
// its exit status or, since that takes the place of status 0 alone, by its report.
func (b *processBody) raced(st proc.Status) bool {
	status := b.raceStatus()
	switch {
	case !raceBuilt || status == 0:
		return false
	case st.ExitCode == status: // which is also that of a race detector that gets no memory, and says so
		return b.errors.sawRace() || !strings.Contains(b.stderr(), "ThreadSanitizer")
	}
	return st.ExitCode != 0 && b.errors.sawRace()
}

func (b *goroutineBody) raced(proc.Status) bool { return false } // it is in this very process

// lookForRace notes whether a report of the race detector is in what has come last, n bytes. The
// caller holds mu.
func (t *tail) lookForRace(n int) {
	if raceBuilt && !t.race {
		t.race = bytes.Contains(t.buf[max(0, len(t.buf)-n-len(raceReport)):], []byte(raceReport))
	}
}

func (t *tail) sawRace() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.race
}

// raceError is the error of a data race in a worker that has ended as how says.
func (p *peer) raceError(how error) error {
	var died *WorkerDiedError
	if errors.As(how, &died) {
		return how
	}
	return &WorkerDiedError{Worker: p.slot.name, PID: p.pid(), Life: p.life, ExitCode: p.body.status().ExitCode,
		Reason: racedReason, Uptime: time.Since(p.begun), Stderr: p.body.stderr()}
}

// noteRace remembers a data race for Run's error, and for those of Wait, Close and Stop. The
// program goes on.
func (m *Main) noteRace(err error) {
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	if len(m.races) < maxRaces {
		m.races = append(m.races, err)
	}
}
