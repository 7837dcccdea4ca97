package multiprolab

import (
	"context"
	"log/slog"
	"math"

	"github.com/multiprolab/multiprolab/internal/logpack"
)

// WorkerLogs says what of the logs of a worker's process goes to Config.Logger of main.
type WorkerLogs int

const (
	// ForwardSlog is the default: slog.Default of a worker's process is the worker's Logger, from
	// its setup function on. What package log prints stays on the worker's stderr.
	ForwardSlog WorkerLogs = iota
	// ForwardAll is ForwardSlog, and makes each print of package log a record, too, of the level of
	// slog.SetLogLoggerLevel. The error of a worker that dies by log.Fatal has no text then.
	ForwardAll
	// ForwardNone leaves slog.Default and package log as the program has set them. Only what is
	// logged with Worker.Logger goes to main.
	ForwardNone
)

// String returns the name of the value.
func (l WorkerLogs) String() string {
	switch l {
	case ForwardSlog:
		return "ForwardSlog"
	case ForwardAll:
		return "ForwardAll"
	case ForwardNone:
		return "ForwardNone"
	}
	return "WorkerLogs(?)"
}

// logWindow is how many bytes of a worker's log may be on their way to the handler of main. The
// worker waits beyond it.
const logWindow = 512 << 10

// logErrors is how errors cross that are values in a record.
var logErrors = &logpack.Errors{Pack: marshalError, Unpack: unmarshalError}

// mostLevel is how far from zero the levels are that leastLevel tells apart.
const mostLevel = 64

// leastLevel returns the least level of the records that a handler takes, if it takes those of all
// greater levels as well. It is beyond every level if the handler takes none.
func leastLevel(h slog.Handler) slog.Level {
	takes := func(l slog.Level) bool { return h.Enabled(context.Background(), l) }
	if !takes(mostLevel) {
		return math.MaxInt32
	}
	if takes(-mostLevel) {
		return math.MinInt32
	}
	low, high := slog.Level(-mostLevel), slog.Level(mostLevel) // it takes high, and not low
	for high-low > 1 {
		if mid := (low + high) / 2; takes(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}
