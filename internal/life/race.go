package life

import (
	"strconv"
	"strings"
)

// This file sees to it that a data race in a worker does not stay green: the race detector says so
// by the exit status of the worker's process, which nobody would look at after a goodbye. It all
// happens in main.

// raceReport begins each report of the race detector.
const raceReport = "==================\nWARNING: DATA RACE\n"

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

// saysSanitizer reports whether the race detector itself has said something on stderr: that it gets
// no memory, for example.
func saysSanitizer(stderr string) bool { return strings.Contains(stderr, "ThreadSanitizer") }
