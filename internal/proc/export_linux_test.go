package proc

// SetNoPidFD makes new processes be watched as on kernels without pidfds.
func SetNoPidFD(on bool) { noPidFD = on }

// NamespaceMarkerText returns the marker of a worker that is started as process 1 of a PID namespace.
func NamespaceMarkerText(role Role, parent int) string {
	m := marker{Role: role, Parent: parent, PIDNamespace: true}
	return m.text()
}
