# What Assay needs on a cluster, by Terraform: the namespace, the account and the role of deploy/kubernetes, which stay the only place where they are written.
# Checked here is what it reads of them; it was never applied to a cluster.
terraform {
  required_version = ">= 1.5"
  required_providers {
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = ">= 2.30"
    }
  }
}

variable "context" {
  description = "which cluster of ~/.kube/config"
  type        = string
}

provider "kubernetes" {
  config_path    = "~/.kube/config"
  config_context = var.context
}

locals {
  folder = "${path.module}/../kubernetes"
  objects = {
    for object in flatten([
      for name in ["clusterrole.yaml", "account.yaml"] : [
        for text in split("\n---\n", file("${local.folder}/${name}")) : yamldecode(text)
      ]
    ]) : "${object.kind}/${object.metadata.name}" => object
  }
}

# First, since the account lives in it.
resource "kubernetes_manifest" "namespace" {
  manifest = local.objects["Namespace/assay"]
}

resource "kubernetes_manifest" "access" {
  for_each   = { for name, object in local.objects : name => object if object.kind != "Namespace" }
  manifest   = each.value
  depends_on = [kubernetes_manifest.namespace]
}
