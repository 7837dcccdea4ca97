//go:build !race

package lockorder

import "sync"

// Mutex is a mutex of rank R.
type Mutex[R Rank] struct{ sync.Mutex }
