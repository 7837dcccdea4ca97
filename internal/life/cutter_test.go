package life

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// printings are what a worker may print, in parts: beginnings of reports, stacks, its own lines.
var printings = []string{
	"\n", "\n\n", "\r\n", "a line\n", "printed by itself\n", "42%", "x ", "\t", "[", "  ", "(", ")",
	"call(1)\n", "panic: ", "panic: x\n", "fatal error: ", "fatal error: x\n", "fatal error: x\n\n",
	"panic: x [recovered, repanicked]\n", "fatal error: all goroutines are asleep - deadlock!\n\n",
	"panic: a\n\tpanic: b\n", "panic called with nil argument (obsolete?)\n",
	"fatal error: no goroutines (main called runtime.Goexit) - deadlock!\n",
	"unexpected fault address 0x1\nfatal error: fault\n",
	"[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x1]\n\n", "signal: killed\n",
	"exit status 2\n", "SIGQUIT: quit\nPC=0x1 m=0 sigcode=0\n\n",
	"SIGSEGV: segmentation violation\nPC=0x1 m=0 sigcode=1\nsignal arrived during cgo execution\n\n", "SIG",
	"SIGSEGV", "SIGSEGV: ", "runtime: out of memory: cannot allocate\n", "runtime: ", "runtime/cgo: ",
	"runtime/cgo: pthread_create failed\n",
	"runtime: goroutine stack exceeds 1000000000-byte limit\nfatal error: stack overflow\n\n", ownMark,
	ownMark + "by a window\n\n", "goroutine ", "gorout", "goroutine 7 [running]:\n", "runtime stack:\n",
	"runtime stack:", "goroutine 0 [idle]:\n", "panic: x\r\n\r\ngoroutine 7 [running]:\r\n",
	"[originating from goroutine 7]:\n", "goroutine running on other thread; stack unavailable\n",
	"main.f(0x1)\n", "main.f({0x1, 0x2}, ...)\n", "\t/src/main.go:52 +0x1b3\n", "\tC:/src/main.go:52 +0x1b3\n",
	"created by main.main in goroutine 1\n", "non-Go function\n\tpc=0x1\n", "...additional frames elided...\n",
	firstTrace, otherTrace, registers, systemOne, "panic: x\n\n" + firstTrace,
	"fatal error: x\n\n" + firstTrace + otherTrace + otherTrace, "goroutine 5 [sel", "ect]:\nmain.g()\n",
	strings.Repeat("long ", 300), strings.Repeat("long", 1025),
	"main.f" + strings.Repeat("[go.shape.int]", 400) + "(0x1)\n", strings.Repeat("y", 4094),
	strings.Repeat("y", 4096), strings.Repeat(otherTrace, 20),
}

// What becomes of what a worker prints does not depend on where its writes end: not what is passed
// on, nor the report that is found. What is left out are whole lines of stacks, and they are
// counted. Nothing is left out of what the worker printed that did not die of it.
func TestWritesMayEndAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		printed := rapid.SliceOfN(rapid.SampledFrom(printings), 1, 20).Draw(t, "printed")
		if rapid.Bool().Draw(t, "report") {
			printed = append([]string{"fatal error: x\n\n" + firstTrace + otherTrace}, printed...)
		}
		stream := []byte(strings.Join(printed, ""))
		var pieces [][]byte
		most := rapid.SampledFrom([]int{1, 3, 20, 200, 4 << 10, 20 << 10}).Draw(t, "most")
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), rapid.IntRange(1, most).Draw(t, "n"))
			if len(pieces) > 3000 {
				n = len(rest)
			}
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		died := passedOn(true, false, stream)
		require.Equal(t, died, passedOn(true, false, pieces...))
		require.Equal(t, reportIn(stream), reportIn(pieces...))
		require.Equal(t, string(stream), passedOn(false, false, pieces...))
		require.Equal(t, string(stream), passedOn(true, true, pieces...))
		checkLeftOut(t, string(stream), died)
	})
}

// checkLeftOut checks that what was passed on is the stream without as many lines of stacks as it
// says at its end.
func checkLeftOut(t *rapid.T, stream, passed string) {
	var said int
	if at := strings.LastIndex(passed, "house: "); at >= 0 && !strings.Contains(passed[at:], "it left") {
		_, err := fmt.Sscanf(passed[at:], "house: %d lines\n", &said)
		require.NoError(t, err)
		passed = passed[:at]
	}
	left := strings.SplitAfter(passed, "\n")
	out := 0
	for line := range strings.SplitAfterSeq(stream, "\n") {
		if len(left) > 0 && left[0] == line {
			left = left[1:]
			continue
		}
		out++
		require.Regexp(t, traceLine(), strings.TrimRight(line, "\r\n"), "it was left out")
	}
	require.Empty(t, strings.Join(left, ""), "it was not printed so")
	require.True(t, out == said || out == 1 && said == 0 || out == said+1 && strings.HasSuffix(stream, "\n"),
		"%d of %d", said, out)
}

// A machine that is busy takes long to print a report: it is cut all the same, and also if the
// worker has printed something like it a moment before.
func TestSlowReportIsCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out buffer
		all := newTail(&Output{Stderr: &out, LeftOut: leftOut})
		own := "panic: only printed\n\n" + firstTrace + otherTrace + "it goes on\n"
		_, _ = all.Write([]byte(own))
		require.Equal(t, own, out.String())
		time.Sleep(heldTime - time.Millisecond)
		report := "fatal error: x\n\n" + firstTrace
		for line := range bytes.SplitAfterSeq([]byte(report+strings.Repeat(otherTrace, 20)), []byte("\n")) {
			_, _ = all.Write(line)
			time.Sleep(heldTime / 20)
		}
		require.Equal(t, own+report, out.String())
		all.end(true)
		require.Equal(t, own+report+"house: 140 lines\n", out.String())
	})
}

// A process that lives on and prints what looks like stacks, again and again, gets them passed on.
func TestStacksThatDoNotEndArePassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out buffer
		all := newTail(&Output{Stderr: &out})
		text := "fatal error: x\n\n" + firstTrace
		_, _ = all.Write([]byte(text))
		for range mostHeldTime/time.Second + 1 {
			_, _ = all.Write([]byte(otherTrace))
			text += otherTrace
			time.Sleep(time.Second)
		}
		require.Equal(t, text, out.String())
		all.end(false)
	})
}
