package stats

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRatesAreBounded: what is remembered does not grow with the names that come and go.
func TestRatesAreBounded(t *testing.T) {
	var r Rates
	for i := range 1000 {
		r.Look(time.Duration(i)*time.Second, map[string]uint64{string(rune('a' + i)): 7})
	}
	for _, c := range []counted{r.before, r.last, r.now} {
		require.Len(t, c.n, 1)
	}
}
