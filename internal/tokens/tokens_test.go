package tokens_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/tokens"
)

// A bucket is full at first; what is asked changes nothing, and tokens that are taken come back one
// by one.
func TestTokensComeBackAtTheirRate(t *testing.T) {
	b := tokens.New(10, 3, time.Now())
	now := time.Hour
	left := func() []any {
		n, next, full := b.Left(now)
		return []any{n, (next - now).Round(time.Microsecond), (full - now).Round(time.Microsecond)}
	}
	require.Equal(t, []any{3, time.Duration(0), time.Duration(0)}, left())
	require.Equal(t, []any{3, time.Duration(0), time.Duration(0)}, left())
	b.Take(2, now)
	require.Equal(t, []any{1, time.Duration(0), 200 * time.Millisecond}, left())
	b.Take(5, now) // a batch takes what is still to come
	require.Equal(t, []any{0, 500 * time.Millisecond, 700 * time.Millisecond}, left())
	now += 650 * time.Millisecond
	require.Equal(t, []any{2, time.Duration(0), 50 * time.Millisecond}, left())
	now += time.Hour
	require.Equal(t, []any{3, time.Duration(0), time.Duration(0)}, left())
}

// Another rate counts from now on, and a smaller bucket loses what does not fit in.
func TestRateChanges(t *testing.T) {
	b := tokens.New(1, 10, time.Now())
	b.Take(10, 0)
	b.Set(10, 2, time.Second) // one has come by now
	n, next, full := b.Left(time.Second)
	require.Equal(t, 1, n)
	require.Equal(t, time.Second, next)
	require.Equal(t, 1100*time.Millisecond, full)
}

// A rate that gives next to nothing, or a great deal, is one like others.
func TestExtremeRates(t *testing.T) {
	b := tokens.New(1e-300, 1, time.Now())
	b.Take(1, time.Second)
	n, next, full := b.Left(time.Second)
	require.Zero(t, n)
	require.Greater(t, next, 100*365*24*time.Hour)
	require.Equal(t, next, full)
	b = tokens.New(math.MaxFloat64, 1, time.Now())
	b.Take(1, time.Second)
	n, next, _ = b.Left(time.Second + 1)
	require.Equal(t, 1, n)
	require.Equal(t, time.Second+1, next)
	b = tokens.New(1, math.MaxInt, time.Now())
	b.Take(1, time.Second)
	n, next, _ = b.Left(time.Second)
	require.Positive(t, n, "of a bucket without a bottom")
	require.Equal(t, time.Second, next)
}
