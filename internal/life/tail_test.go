package life

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// ownMark begins the reports of the library in these tests.
const ownMark = "house: it left "

// reportIn returns the report that is found in what a worker writes to stderr, piece by piece.
func reportIn(pieces ...[]byte) string {
	t := newTail(&Output{Stderr: io.Discard, Mark: ownMark})
	for _, p := range pieces {
		_, _ = t.Write(p)
	}
	return t.report()
}

// leftOut makes the line that says how many lines were left out.
func leftOut(lines int) string { return fmt.Sprintf("house: %d lines\n", lines) }

// passedOn returns what is passed on of the stderr of a worker that has ended, piece by piece.
func passedOn(died, full bool, pieces ...[]byte) string {
	var out bytes.Buffer
	t := newTail(&Output{Stderr: &out, FullCrashes: full, LeftOut: leftOut})
	for _, p := range pieces {
		_, _ = t.Write(p)
	}
	t.end(died)
	return out.String()
}

const (
	bar        = "\r 42% [====>    ]" // a line that is not ended
	someStacks = "\n\ngoroutine 1 [running]:\nmain.f(0x1)\n\t/src/main.go:52 +0x1b3\n\ngoroutine 7 [select]:\nmain.g()\n\t/src/main.go:7 +0x1\nexit status 2\n"
)

// The report of the Go runtime is found in what a worker writes, wherever the writes end.
func TestReportIsFound(t *testing.T) {
	long := strings.Repeat("long ", 1<<16)
	for name, c := range map[string]struct{ before, report string }{
		"alone":                         {"", "panic: the reason" + someStacks},
		"after lines":                   {"one\ntwo\n\nthree\n", "panic: the reason" + someStacks},
		"behind an unfinished line":     {"one\n" + bar, "panic: the reason" + someStacks},
		"behind one, of a signal":       {bar, "SIGSEGV: segmentation violation\nPC=0x1 m=0 sigcode=1" + someStacks},
		"behind one, with a signal":     {bar, "panic: the reason\n[signal SIGSEGV: segmentation violation code=0x1]" + someStacks},
		"fatal error":                   {bar, "fatal error: concurrent map writes" + someStacks},
		"two marks":                     {bar, "runtime: out of memory: cannot allocate\nfatal error: out of memory\n\nruntime stack:\nruntime.throw()\n"},
		"after a panic that was logged": {"panic: old\nrecovered panic: older\n\n", "panic: the reason" + someStacks},
		"after one in the paragraph":    {"level=INFO recovered from panic: old\n", "panic: the reason" + someStacks},
		"after one, behind a line":      {"level=INFO recovered from panic: old\n" + bar, "panic: the reason" + someStacks},
		"after one with its stacks":     {"panic: old" + someStacks + "it goes on\n", "panic: the reason" + someStacks},
		"a text with another mark":      {bar, "panic: reading: panic: inner" + someStacks},
		"a text of several lines":       {bar, "panic: the reason\n\tpanic: in a deferred function\n\tfatal error: as text" + someStacks},
		"a text that is long":           {bar, "panic: " + long + someStacks},
		"a text of many lines":          {bar, "panic: " + strings.Repeat("line\n\t", 1<<15) + someStacks},
		"stacks that are long":          {bar, "panic: the reason" + strings.Repeat(someStacks, 2000)},
		"behind a long unfinished line": {long + bar, "panic: the reason" + someStacks},
		"behind much":                   {strings.Repeat(long+"\n", 3) + "\n", "panic: the reason" + someStacks},
		"after Goexit":                  {bar, ownMark + "by a window, in task \"t\"" + someStacks},
		"a line with two marks below":   {bar, "runtime: bad\nfatal error: panic: as text" + someStacks},
		"behind a beginning of a mark":  {"pani", "panic: the reason" + someStacks},
	} {
		t.Run(name, func(t *testing.T) {
			text := []byte(c.before + c.report)
			check := func(got string) {
				t.Helper()
				if len(c.report) <= 64<<10 {
					require.Equal(t, c.report, got)
					return
				}
				require.Equal(t, c.report[:16<<10], got[:16<<10])
				require.Equal(t, c.report[len(c.report)-48<<10:], got[len(got)-48<<10:])
				require.Contains(
					t,
					got[16<<10:len(got)-48<<10],
					fmt.Sprintf(" %d bytes are left out ", len(c.report)-64<<10),
				)
			}
			check(reportIn(text))
			if len(text) < 10_000 {
				check(reportIn(slices.Collect(slices.Chunk(text, 1))...))
			}
			for range 20 {
				var pieces [][]byte
				for rest := text; len(rest) > 0; {
					n := min(len(rest), 1+rand.IntN([]int{8, 80, 1 << 16}[rand.IntN(3)]))
					pieces, rest = append(pieces, rest[:n]), rest[n:]
				}
				check(reportIn(pieces...))
			}
		})
	}
}

// What only looks like a report is none.
func TestReportIsNotFound(t *testing.T) {
	for _, text := range []string{
		"", "\n\n", "panic: logged\n", "panic: logged\n\nand something else\n", "panic: logged\n\ngoroutin", "panic: logged\ngoroutine 7 [running]:\n",
		"the SIGNAL: green\n\ngoroutine 1 [running]:\n", "SIG: x" + someStacks, "panic : x" + someStacks, someStacks,
	} {
		require.Empty(t, reportIn([]byte(text)), "%q", text)
	}
}

const (
	firstTrace = "goroutine 7 [running]:\nmain.f(0x1)\n\t/src/main.go:52 +0x1b3\ncreated by main.main in goroutine 1\n\t/src/main.go:7 +0x1\n\n"
	otherTrace = "goroutine 9 gp=0x1 m=nil [select, 2 minutes]:\nmain.g(...)\n\t/src/main.go:9\n...additional frames elided...\nmain.h()\n\t/src/main.go:8 +0x1 fp=0x1 sp=0x2 pc=0x3\n\n"
	registers  = "rax    0x0\nrip    0x467a81\n"
	systemOne  = "runtime stack:\nruntime.throw({0x1?, 0x2?})\n\t/go/panic.go:1 +0x1\n\n"
)

// Of a report of the Go runtime the reason and the first stack of a goroutine are passed on,
// wherever the writes end, and all that the worker has printed itself.
func TestCrashIsCutShort(t *testing.T) {
	others := strings.Repeat(otherTrace, 50)
	for name, c := range map[string]struct {
		stream string
		lives  bool   // the Go runtime has not ended it
		passed string // "": the stream
		cut    bool   // and a line that says so
	}{
		"a panic":                      {stream: "printed\npanic: x\n\n" + firstTrace},
		"a fatal error":                {stream: "fatal error: x\n\n" + firstTrace + others, passed: "fatal error: x\n\n" + firstTrace, cut: true},
		"out of memory":                {stream: "fatal error: x\n\n" + systemOne + firstTrace + others, passed: "fatal error: x\n\n" + systemOne + firstTrace, cut: true},
		"a signal":                     {stream: "SIGQUIT: quit\nPC=0x1 m=0 sigcode=0\n\n" + firstTrace + others + registers, passed: "SIGQUIT: quit\nPC=0x1 m=0 sigcode=0\n\n" + firstTrace, cut: true},
		"behind an unfinished line":    {stream: "42%fatal error: x\n\n" + firstTrace + others, passed: "42%fatal error: x\n\n" + firstTrace, cut: true},
		"printed by itself":            {stream: "panic: x\n\n" + firstTrace + others + "it goes on\n", lives: true},
		"printed by itself, at an end": {stream: "panic: x\n\n" + firstTrace + others, lives: true},
		"a call of its own":            {stream: "fatal error: x\n\n" + firstTrace + "done(1)\nand on\n"},
		"without an end of line":       {stream: "fatal error: x\n\n" + firstTrace + "a prompt> "},
		"a line that is too long":      {stream: "fatal error: x\n\n" + firstTrace + otherTrace + strings.Repeat("y", 5000) + "(0x1)\n"},
		"text among the stacks":        {stream: "fatal error: x\n\n" + firstTrace + otherTrace + "text\n" + others, passed: "fatal error: x\n\n" + firstTrace + otherTrace + "text\n", cut: true},
	} {
		t.Run(name, func(t *testing.T) {
			want := c.passed
			if want == "" {
				want = c.stream
			}
			for _, n := range []int{1, 3, 64, 1 << 20} {
				got := passedOn(!c.lives, false, slices.Collect(slices.Chunk([]byte(c.stream), n))...)
				rest, ok := strings.CutPrefix(got, want)
				require.True(t, ok, "pieces of %d: %s", n, got)
				require.Equal(
					t,
					c.cut,
					strings.HasPrefix(rest, "house: ") && strings.Count(rest, "\n") == 1,
					"%q",
					rest,
				)
				require.Equal(t, c.cut, rest != "")
			}
			require.Equal(t, c.stream, passedOn(!c.lives, true, []byte(c.stream)))
		})
	}
}

// What looks like a report and comes from a process that lives on is passed on after a moment, and
// what it prints then comes at once.
func TestHeldStacksOfAProcessThatLivesOnArePassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out buffer
		all := newTail(&Output{Stderr: &out})
		text := "fatal error: x\n\n" + firstTrace + otherTrace
		_, _ = all.Write([]byte(text))
		require.Equal(t, "fatal error: x\n\n"+firstTrace, out.String())
		time.Sleep(heldTime)
		synctest.Wait()
		require.Equal(t, text, out.String())
		_, _ = all.Write([]byte(otherTrace))
		require.Equal(t, text+otherTrace, out.String())
		all.end(true)
		require.Equal(t, text+otherTrace, out.String())
	})
}

// A report without stacks (GOTRACEBACK=none) explains a death from its last paragraph on that begins
// as one.
func TestReportWithoutStacksIsCutDown(t *testing.T) {
	m := marks{own: []byte(ownMark)}
	for text, want := range map[string]string{
		"":                       "",
		"one\ntwo\n":             "one\ntwo\n",
		"one\npanic: x\nmore\n":  "panic: x\nmore\n",
		"panic: x\n":             "panic: x\n",
		"panic: old\n\npanic: x": "panic: old\n\npanic: x", // it begins as a report: nothing is cut
		"one\npanic: old\n\ntwo\npanic: x\n\npanic: y\npanic: z\n": "panic: y\npanic: z\n",
		"one\n" + ownMark + "by a window\n":                        ownMark + "by a window\n",
		"one\nSIGSEGV: segmentation violation\n":                   "SIGSEGV: segmentation violation\n",
	} {
		require.Equal(t, want, m.interesting(text), "%q", text)
	}
}

// failing is a writer that fails.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// Each line has the prefix and is written at once, however it comes, and a last line without an end
// is not lost. What becomes of the writer is nothing to who prints.
func TestLinesHaveAPrefix(t *testing.T) {
	long, broken := strings.Repeat("x", maxLineSize), strings.Repeat("\x80", maxLineSize)
	for text, want := range map[string]string{
		"":                        "",
		"one\ntwo\n":              "w/0: one\nw/0: two\n",
		"one\n\nthree":            "w/0: one\nw/0: \nw/0: three\n",
		long + "y\n" + "two":      "w/0: " + long + "\nw/0: y\nw/0: two\n",
		long + "\n\n":             "w/0: " + long + "\nw/0: \n",
		long[2:] + "\U0001F600\n": "w/0: " + long[2:] + "\nw/0: \U0001F600\n",
		long + long + "\n\x80":    "w/0: " + long + "\nw/0: " + long + "\nw/0: \x80\n",
		broken + "\x80":           "w/0: " + broken + "\nw/0: \x80\n",
	} {
		for _, n := range []int{1, maxLineSize, 1 << 20} {
			var out bytes.Buffer
			l := NewLines("w/0: ", &out)
			for piece := range slices.Chunk([]byte(text), n) {
				k, err := l.Write(piece)
				require.NoError(t, err)
				require.Equal(t, len(piece), k)
			}
			l.Flush()
			require.Equal(t, want, out.String())
		}
	}
	l := NewLines("w/0: ", failing{})
	n, err := l.Write([]byte("one\ntwo"))
	require.NoError(t, err)
	require.Equal(t, 7, n)
	l.Flush()
}

// The exit status by which the race detector tells of a data race is 66, or what the last GORACE
// says.
func TestStatusOfADataRace(t *testing.T) {
	for _, c := range []struct {
		env  []string
		want int
	}{
		{nil, 66}, {[]string{"A=b", "GORACEX=exitcode=3"}, 66}, {[]string{"GORACE="}, 66},
		{[]string{"GORACE=halt_on_error=1 exitcode=67 log_path=x"}, 67}, {[]string{"GORACE=exitcode=0"}, 0},
		{[]string{"GORACE=exitcode=3", "GORACE=log_path=x"}, 66}, {[]string{"GORACE=exitcode=x"}, 0},
	} {
		require.Equal(t, c.want, raceStatus(c.env), "%q", c.env)
	}
}
