package recorder

import (
	"bufio"
	"encoding/json"
	"io"
	"runtime/debug"
	"slices"
	"strconv"
)

// Header is the first line of a record: what it is of.
type Header struct {
	Record  string `json:"record"`  // "multiprolab"
	Version int    `json:"version"` // of the format
	Name    string `json:"name"`    // of the Main
	PID     int    `json:"pid"`     // of main
	Time    string `json:"time"`    // when it was written
	Why     string `json:"why"`     // why it was written
	Library string `json:"library"` // the version of multiprolab
	Go      string `json:"go"`      // the version of Go, and the system
	// Before is how many events of each room were before those in the record.
	Before map[string]uint64 `json:"before"`
}

// Version is that of the format.
const Version = 1

// line is one line, before it is written.
type line struct {
	seq  uint64 // its place among the lines
	text []byte // the line, in JSON
}

// Write writes copies of rings as lines of JSON: the header, and the events of all in their order.
func Write(w io.Writer, h Header, rings ...*Ring) error {
	var lines []line
	h.Before = map[string]uint64{}
	for _, r := range rings {
		for _, s := range r.setup {
			text, err := setupLine(&s)
			if err != nil {
				return err
			}
			lines = append(lines, line{s.seq, text})
		}
		events, before := r.all()
		if r.lacks {
			before++
		}
		if len(r.setup) > 0 || len(events) > 0 {
			h.Before[r.room()] = before
		}
		for i := range events {
			lines = append(lines, line{events[i].Seq, r.line(&events[i])})
		}
	}
	slices.SortFunc(lines, func(a, b line) int {
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
	h.Record, h.Version, h.Library = "multiprolab", Version, library()
	out := bufio.NewWriter(w)
	head, err := json.Marshal(h)
	if err != nil {
		return err
	}
	lines = append(append([]line{{0, head}}, lines...), line{0, []byte(lastLine)})
	for _, l := range lines {
		if _, err := out.Write(append(l.text, '\n')); err != nil {
			return err
		}
	}
	return out.Flush()
}

// lastLine says that a record has not been cut off.
const lastLine = `{"room":"record","event":"end"}`

// library returns the version of multiprolab that the program has, or the revision of the program
// if it is of this module.
func library() string {
	const path = "github.com/multiprolab/multiprolab"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, d := range info.Deps {
		if d.Path == path {
			return d.Version
		}
	}
	if info.Main.Path != path {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return info.Main.Version
}

// room returns the room that the events of a ring are of, if there are any.
func (r *Ring) room() string {
	if len(r.setup) > 0 {
		return forms[r.setup[0].kind].room
	}
	return forms[r.events[0].Kind].room
}

// setupLine returns the line of an event of the set-up.
func setupLine(s *setup) ([]byte, error) {
	f := &forms[s.kind]
	return json.Marshal(struct {
		Seq   uint64 `json:"seq"`
		Room  string `json:"room"`
		Event string `json:"event"`
		Setup any    `json:"setup"`
	}{s.seq, f.room, f.event, s.body})
}

// line returns the line of an event. Fields that are zero are left out.
func (r *Ring) line(e *Event) []byte {
	f := &forms[e.Kind]
	b := append([]byte(`{"seq":`), strconv.FormatUint(e.Seq, 10)...)
	b = append(append(b, `,"at":`...), strconv.FormatInt(int64(e.At), 10)...)
	b = append(append(append(append(b, `,"room":"`...), f.room...), `","event":"`...), f.event...)
	b = append(b, '"')
	number := func(name string, n int64) {
		if name != "" && n != 0 {
			b = append(append(append(b, `,"`...), name...), `":`...)
			b = strconv.AppendInt(b, n, 10)
		}
	}
	text := func(name string, n uint16) {
		if name == "" {
			return
		}
		s, kept := r.text(n)
		switch {
		case e.Kind == TaskEffect:
			s = nameIn(taskDoes[:], int(n))
		case e.Kind == LifeEffect:
			s = nameIn(lifeDoes[:], int(n))
		case !kept:
			b = append(append(append(b, `,"`...), name...), `":null`...)
			return
		}
		value, err := json.Marshal(s)
		if err != nil || s == "" {
			return // a text always can be encoded
		}
		b = append(append(append(append(b, `,"`...), name...), `":`...), value...)
	}
	text(f.text, e.Text)
	number(f.slot, int64(e.Slot))
	number(f.other, int64(e.Other))
	number(f.task, int64(e.Task))
	number(f.n, e.N)
	number("bits", int64(e.Bits))
	text(f.more, e.More)
	return append(b, '}')
}

// nameIn returns the name of a number, or "".
func nameIn(names []string, n int) string {
	if n >= len(names) {
		return ""
	}
	return names[n]
}
