package proc

// What the external tests may see of the inside.

const (
	MarkerName   = markerName
	ExitTakeover = exitTakeover
	ExitOrphan   = exitOrphan
)

// MarkerText returns the marker with which a parent of the given pid would start a worker.
func MarkerText(role Role, parent int) string {
	m := marker{Role: role, Parent: parent}
	return m.text()
}

// MainThreadReleased tells the child what ReleaseMainThread did.
func MainThreadReleased() bool { return self.released.Load() }
