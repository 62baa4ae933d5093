# tools/lib/cluster_images.sh: the images that every node of a test cluster has: pause, and busybox for tests by hand.
# Sourced after cluster_nodes.sh.
# shellcheck shell=bash disable=SC2154  # variables of the other files

# cluster_image NAME PROGRAM: localhost/NAME:1, of this static program alone, for every node to import at boot.
cluster_image() {
  local node

  mkdir -p "images/$1/bin"
  cp "$2" "images/$1/bin/$1"
  python3 -B "$ready_root/tools/lib/image.py" archive "images/$1" "localhost/$1:1" "images/$1.tar" "/bin/$1" ||
    die "no image of $2"
  for node in $(cluster_nodes); do cp "images/$1.tar" "node$node/images/"; done
}

cluster_images() {
  mkdir -p images
  cc -static -O2 "$ready_root/tests/cluster/pause.c" -o images/pause.program || die "pause does not compile"
  cluster_image pause images/pause.program
  cluster_image busybox "$(command -v busybox)"
}
