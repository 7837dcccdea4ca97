package recorder

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// DiffersError says that the rules do not what the record says that they did.
type DiffersError struct {
	Line int    // the line of the record, from 1
	Text string // that line
	Want string // what the rules do there
}

func (e *DiffersError) Error() string {
	return fmt.Sprintf("line %d of the record differs from what the rules do: %s, and they do: %s",
		e.Line, e.Text, e.Want)
}

// Outcome is what a replay has come to.
type Outcome struct {
	Lives, Tasks int      // how many effects of the two rooms were the same
	Lacks        []string // for each room that was not replayed to its end: where, and what is missing
}

// said is a line of a record as it is read.
type said struct {
	Seq     uint64             `json:"seq"`
	At      int64              `json:"at"`
	Room    string             `json:"room"`
	Event   string             `json:"event"`
	Setup   json.RawMessage    `json:"setup"`
	Bits    uint8              `json:"bits"`
	number  int                // of the line, from 1
	text    string             // the line
	numbers map[string]int64   // the fields that are numbers, by their names
	texts   map[string]*string // the fields that are texts; nil is one that was not kept
}

// UnmarshalJSON implements json.Unmarshaler: what has no field goes to numbers and texts.
func (s *said) UnmarshalJSON(b []byte) error {
	type plain said
	if err := json.Unmarshal(b, (*plain)(s)); err != nil {
		return err
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	s.numbers, s.texts = map[string]int64{}, map[string]*string{}
	for name, raw := range all {
		var n int64
		var t *string
		if json.Unmarshal(raw, &n) == nil && string(raw) != "null" {
			s.numbers[name] = n
		} else if json.Unmarshal(raw, &t) == nil {
			s.texts[name] = t
		}
	}
	return nil
}

// name returns a text of the line, and whether the record has it.
func (s *said) name(of string) (string, bool) {
	t, there := s.texts[of]
	if !there {
		return "", true // an empty text is left out
	}
	if t == nil {
		return "", false
	}
	return *t, true
}

// event returns the event that a line is, as the ring had it, but for its texts.
func (s *said) event() (Event, bool) {
	for k := range forms {
		f := &forms[k]
		if f.event == "" || f.room != s.Room || f.event != s.Event {
			continue
		}
		if s.Setup != nil != (k == int(LifePool) || k == int(LifeGroup) || k == int(TaskPool) || k == int(TaskSlot)) &&
			k != int(TaskAllow) {
			continue
		}
		e := Event{Seq: s.Seq, Kind: Kind(k), Bits: s.Bits}
		e.Slot, e.Other = uint32(s.numbers[f.slot]), uint32(s.numbers[f.other])
		e.Task, e.N = uint64(s.numbers[f.task]), s.numbers[f.n]
		return e, true
	}
	return Event{}, false
}

// room replays one room.
type room interface {
	// do does what a line says. It returns what is missing, if the record does not hold enough.
	do(s *said, e *Event) (lacks string)
	// effect returns the next effect of the rules, or reports false if there is none.
	effect() (e Event, ok bool)
	// draw gives the rules a number that they have asked somebody for.
	draw(e *Event)
	// starved reports whether the rules have asked for a number that the record does not have.
	starved() bool
}

// VersionError says that a record is of another version of the format.
type VersionError struct {
	Version int    // that of the record
	Library string // the version of multiprolab that has written it
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("the record has version %d of the format, and this is version %d: replay it with the version "+
		"of multiprolab that has written it, %q", e.Version, Version, e.Library)
}

// errNoRecord says that what was read is no record.
var errNoRecord = errors.New("this is no record of multiprolab")

// Replay reads a record, and has the rules do again what happened in it. It compares what they do
// with what the record says, up to where the record does not hold enough. The error is a
// *DiffersError, or says why the record cannot be read.
func Replay(in io.Reader) (*Outcome, error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		return nil, errNoRecord
	}
	var h Header
	err := json.Unmarshal(lines.Bytes(), &h)
	if h.Record == "multiprolab" && h.Version != Version { // its other fields may be anything
		return nil, &VersionError{h.Version, h.Library}
	}
	if err != nil || h.Record != "multiprolab" {
		return nil, errNoRecord
	}
	out := &Outcome{}
	all, whole, err := sayings(lines)
	if err != nil {
		return nil, err
	}
	if !whole {
		out.Lacks = append(out.Lacks, fmt.Sprintf("the record is cut off after line %d", len(all)+1))
	}
	lives, tasks := newLivesReplay(), newTasksReplay()
	for _, one := range []struct {
		name string
		room room
		same *int
	}{{"lives", lives, &out.Lives}, {"tasks", tasks, &out.Tasks}} {
		if n := h.Before[one.name]; n > 0 {
			out.Lacks = append(out.Lacks, fmt.Sprintf("the first %d events of the rules of %s are not in the record, "+
				"and nothing of them was replayed", n, one.name))
			continue
		}
		lacks, err := replay(all, one.name, one.room, one.same, whole)
		if err != nil {
			return out, err
		}
		if lacks != "" {
			out.Lacks = append(out.Lacks, lacks)
		}
	}
	return out, nil
}

// sayings returns the lines of a record after the header, and whether the last one is there. A last
// line of which only a part is there is left out.
func sayings(lines *bufio.Scanner) (all []*said, whole bool, err error) {
	var bad error
	for lines.Scan() {
		s := &said{number: len(all) + 2, text: lines.Text()}
		switch {
		case bad != nil:
			return nil, false, bad
		case whole:
			return nil, false, fmt.Errorf("line %d of the record is behind its end: %s", s.number, s.text)
		case s.text == lastLine:
			whole = true
			continue
		}
		if err := json.Unmarshal(lines.Bytes(), s); err != nil {
			bad = fmt.Errorf("line %d of the record cannot be read: %w", s.number, err)
		} else {
			all = append(all, s)
		}
	}
	return all, whole, lines.Err()
}

// replay replays one room. same counts the effects that are the same. A record that is not whole
// may end before the rules do.
func replay(all []*said, name string, r room, same *int, whole bool) (lacks string, err error) {
	at := 0
	defer func() {
		if p := recover(); p != nil { // what somebody has written into the file may make no sense
			lacks, err = "", fmt.Errorf("the rules cannot follow the record at line %d: %v", at, p)
		}
	}()
	var mine []*said
	for _, s := range all {
		if s.Room == name {
			mine = append(mine, s)
		}
	}
	for i, s := range mine {
		at = s.number
		e, ok := s.event()
		if !ok {
			return "", fmt.Errorf("line %d of the record is of an event that nobody knows: %s", s.number, s.text)
		}
		switch e.Kind {
		case LifeRand, TaskRand, TaskBusy: // they were given to the rules when the event before came
			continue
		case LifeEffect, TaskEffect:
			want, ok := r.effect()
			if !ok {
				return "", &DiffersError{s.number, s.text, "nothing"}
			}
			do, _ := s.name("do")
			got := e
			got.Seq, got.At = 0, 0
			got.Text = want.Text
			if got != want || do != doName(&want) {
				want.Seq, want.At = s.Seq, 0
				return "", &DiffersError{s.number, s.text, string((&Ring{}).line(&want))}
			}
			*same++
			continue
		}
		last := true
		for _, next := range mine[i+1:] { // what the rules will ask for while they handle the event
			d, ok := next.event()
			if !ok || d.Kind != LifeRand && d.Kind != TaskRand && d.Kind != TaskBusy {
				last = false
				break
			}
			r.draw(&d)
		}
		if lacks := r.do(s, &e); lacks != "" {
			return fmt.Sprintf("line %d: %s of the rules of %s is not in the record, and nothing after it was replayed",
				s.number, lacks, name), nil
		}
		if r.starved() && last && !whole {
			return "", nil
		}
		if r.starved() {
			return "", &DiffersError{s.number, s.text, "they ask for a number there that the record does not have"}
		}
	}
	if want, ok := r.effect(); ok && len(mine) > 0 && whole {
		last := mine[len(mine)-1]
		return "", &DiffersError{last.number, last.text, "after that " + string((&Ring{}).line(&want))}
	}
	return "", nil
}

// doName returns the name of what an effect does.
func doName(e *Event) string {
	if e.Kind == LifeEffect {
		return nameIn(lifeDoes[:], int(e.Text))
	}
	return nameIn(taskDoes[:], int(e.Text))
}

// draws are the numbers that the rules are given.
type draws struct {
	waiting []Event // those that wait
	short   bool    // the rules have asked for more
}

func (d *draws) draw(e *Event) { d.waiting = append(d.waiting, *e) }
func (d *draws) starved() bool { return d.short }
func (d *draws) next(k Kind) int64 {
	if len(d.waiting) == 0 || d.waiting[0].Kind != k {
		d.short = true
		return 0
	}
	n := d.waiting[0].N
	d.waiting = d.waiting[1:]
	return n
}

// timeOf returns the time of a line.
func timeOf(s *said) time.Duration { return time.Duration(s.At) }
