package logbook

import (
	"context"
	"log/slog"
	"math"
)

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

// Default is a handler that is that of slog.Default, at the time of each record. It exists in every
// process, and has no state.
type Default struct{}

// Enabled implements slog.Handler.
func (Default) Enabled(ctx context.Context, l slog.Level) bool { return slog.Default().Enabled(ctx, l) }

// Handle implements slog.Handler.
func (Default) Handle(ctx context.Context, r slog.Record) error {
	return slog.Default().Handler().Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (Default) WithAttrs(as []slog.Attr) slog.Handler { return slog.Default().Handler().WithAttrs(as) }

// WithGroup implements slog.Handler.
func (Default) WithGroup(name string) slog.Handler { return slog.Default().Handler().WithGroup(name) }
