// Package upgrade brings a program to a new version of its file: it tries the new file in a process
// beside the old one, and then executes it in the place of the old one, which hands over what is to
// outlive it. It knows processes, descriptors and a small layout, and not what they are for.
package upgrade

import _ "github.com/multiprolab/multiprolab/internal/platform" // which says where multiprolab runs
