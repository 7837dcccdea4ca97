//go:build !solo

package main

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/multiprolab/multiprolab/multiprolabtest"
)

// TestMain makes a copy of the test binary a worker, as main does.
func TestMain(m *testing.M) {
	becomeWorker()
	multiprolabtest.Main(m) // it wants to be told that the workers of a test binary do not run its tests
}

// TestEverything runs all scenarios with all peers that are present, as -quick does, and looks at
// all that is written.
func TestEverything(t *testing.T) {
	dir := t.TempDir()
	var table, log bytes.Buffer
	failed, err := compare(true, ".", ".", dir, 1, &table, &log)
	if err != nil {
		t.Fatal(err)
	}
	if failed {
		t.Errorf("a peer has failed:\n%s", log.String())
	}

	lines := readCSV(t, filepath.Join(dir, "results.csv"))
	present := map[string]int{} // scenarios by contender
	for _, l := range lines[1:] {
		name := l[0] + ", " + l[1] + ", " + l[2]
		if l[10] != "" {
			t.Logf("%s: %s", name, l[10])
			continue
		}
		present[l[1]]++
		for _, column := range []int{5, 6, 7, 8} {
			v, err := strconv.ParseFloat(l[column], 64)
			if err != nil || !(v > 0) || math.IsInf(v, 0) {
				t.Errorf("%s: %s is %q", name, lines[0][column], l[column])
			}
		}
	}
	for _, must := range []string{"bare pipe", "multiprolab", "net/rpc over pipes", "go-plugin, net/rpc", "go-plugin, gRPC", "NATS on loopback"} {
		if present[must] == 0 {
			t.Errorf("no result of %s", must)
		}
	}
	for _, s := range scenarios(true) {
		if !regexp.MustCompile(regexp.QuoteMeta("(" + s.id + ")")).Match(table.Bytes()) {
			t.Errorf("the table has nothing of %s", s.id)
		}
		for _, c := range s.contenders {
			rows := 0
			for _, l := range lines {
				if l[0] == s.id && l[1] == c.name() {
					rows++
				}
			}
			if rows != len(s.metrics) {
				t.Errorf("%s, %s: %d rows, there are %d metrics", s.id, c.name(), rows, len(s.metrics))
			}
		}
	}

	chart, err := os.ReadFile(filepath.Join(dir, "chart.svg"))
	if err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(bytes.NewReader(chart)); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("chart.svg is not XML: %v", err)
		}
	}
	if bytes.Contains(chart, []byte("NaN")) || bytes.Contains(chart, []byte("Inf")) {
		t.Error("chart.svg has a number that is none")
	}
	checkNoChildren(t)
}

func readCSV(t *testing.T, name string) [][]string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil || len(lines) < 2 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	return lines
}

// checkNoChildren fails if this process has children that do not end soon.
func checkNoChildren(t *testing.T) {
	t.Helper()
	var left []string
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if left = childProcesses(t); len(left) == 0 {
			return
		}
	}
	t.Errorf("processes are left: %v", left)
}

// liar echoes something else than it is sent, and counts wrongly.
type liar struct{}

func (liar) name() string                               { return "liar" }
func (liar) start(int) error                            { return nil }
func (liar) stop() error                                { return nil }
func (liar) callItem(i Item) (Item, error)              { i.Value++; return i, nil }
func (liar) callBytes(b []byte) ([]byte, error)         { return b[1:], nil }
func (liar) streamItems(n int) (Tally, error)           { return Tally{Messages: uint64(n)}, nil }
func (liar) streamBytes(n int, _ []byte) (Tally, error) { return Tally{Messages: uint64(n)}, nil }
func (liar) farm(j job) (uint64, error)                 { return 1, nil }

// TestWrongAnswersAreFound shows that a peer that loses or changes something gets no result.
func TestWrongAnswersAreFound(t *testing.T) {
	for _, c := range []contender{
		&call{caller: liar{}}, &call{caller: liar{}, size: kib4},
		&stream{streamer: liar{}}, &stream{streamer: liar{}, size: kib4},
		&farm{farmer: liar{}, length: time.Microsecond},
	} {
		s := scenario{metrics: callMetrics, contenders: []contender{c}}
		r := s.measure(options{rounds: 1, budget: time.Millisecond, log: io.Discard})
		if r.results[0].err == nil {
			t.Errorf("%+v: the wrong answers were not found", c)
		}
	}
}

// An interpreter that is not installed is no failure.
func TestAbsent(t *testing.T) {
	s := scenario{metrics: callMetrics, contenders: []contender{
		&scriptCall{script: &script{title: "nobody", find: interpreted("an-interpreter-that-nobody-has", "x", "")}},
	}}
	r := s.measure(options{rounds: 1, budget: time.Millisecond, log: io.Discard})
	if err := r.results[0].err; !errors.Is(err, errAbsent) {
		t.Errorf("the error is %v", err)
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values  []float64
		q, want float64
	}{
		{[]float64{3}, 0.99, 3},
		{[]float64{4, 1, 3, 2}, 0.5, 2.5},
		{[]float64{5, 1, 3}, 0.5, 3},
		{[]float64{0, 100}, 0.99, 99},
	} {
		if got := quantile(c.values, c.q); got != c.want {
			t.Errorf("quantile(%v, %v) = %v, want %v", c.values, c.q, got, c.want)
		}
	}
}

func TestItem(t *testing.T) {
	want := sampleItem(4711)
	b := appendItem(nil, &want)
	if got, err := decodeItem(b); err != nil || !got.equal(want) {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range b {
		if _, err := decodeItem(b[:n]); err == nil {
			t.Errorf("%d of %d bytes are decoded", n, len(b))
		}
	}
	if p := want.proto(); !itemOf(p).equal(want) {
		t.Errorf("%+v", itemOf(p))
	}
	if len(b) < 90 || len(b) > 110 {
		t.Errorf("an item takes %d bytes", len(b))
	}
}
